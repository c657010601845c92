"""Principal components: a plane to look at vectors in."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ebmlm.errors import UserError
from ebmlm.typing import Row, RowFeature

__all__ = ["Projection"]

# Singular values under this share of the largest are rounding, and their directions arbitrary.
_RANK = 1e-9


@dataclass(frozen=True, eq=False)
class Projection:
    """Principal axes of some vectors: the directions along which they differ most.

    Attributes:
        mean: (feature,) of the vectors, float64.
        axes: (component, feature), orthonormal; rows of zeros where the vectors differ in fewer
            directions than axes were asked for.
        shares: (component,) share of the variance along every direction that there is, falling;
            sums to one, or is all zero where the vectors are all alike.
    """

    mean: Tensor
    axes: Tensor
    shares: Row

    @classmethod
    def fitted(cls, vectors: RowFeature, components: int = 2) -> Projection:
        """Return the principal axes of ``vectors``, each weighing the same.

        An axis could as well point the other way; here its largest loading is positive (the first
        of them, where several are as large).

        Args:
            vectors: (row, feature).
            components: axes to keep.

        Raises:
            UserError: if there is no vector, or one that is not finite.
        """
        rows = vectors.double()
        if not len(rows):
            raise UserError("no vector to project: show at least one anchor")
        if not rows.isfinite().all():
            raise UserError(
                "features are not finite numbers: the feature map or its network has broken down"
            )
        mean = rows.mean(0)
        _, singular, basis = torch.linalg.svd(rows - mean, full_matrices=False)
        # Differences of vectors that are far from zero carry their rounding.
        scale = max(float(singular[0]), float(mean.norm()) * len(rows) ** 0.5)
        singular = torch.where(singular > _RANK * scale, singular, 0)
        variance = singular.square()
        shares = variance / variance.sum().clamp(min=torch.finfo(variance.dtype).tiny)
        axes = torch.zeros(components, rows.shape[1], dtype=rows.dtype, device=rows.device)
        kept = min(components, int((singular > 0).sum()))
        axes[:kept] = _turned(basis[:kept])
        return cls(mean, axes, shares)

    def __call__(self, vectors: Tensor) -> Tensor:
        """Return the coordinates (..., component) of vectors (..., feature), float64."""
        return (vectors.double() - self.mean) @ self.axes.mT


def _turned(axes: Tensor) -> Tensor:
    largest = axes.abs().argmax(1, keepdim=True)
    return axes * axes.gather(1, largest).sign()
