"""Kernels of vectors that look at their inner product."""

from __future__ import annotations

import torch
from torch import Tensor

from ebmlm.errors import UserError
from ebmlm.kernels.bandwidth import check_positive
from ebmlm.kernels.vectors import VectorKernel

__all__ = ["Linear", "Polynomial"]


class Linear(VectorKernel):
    """``x . y``: matching under it is feature matching."""

    def __call__(self, left: Tensor, right: Tensor) -> Tensor:
        """See :meth:`VectorKernel.__call__`."""
        return torch.einsum("... l f, ... r f -> ... l r", left, right)


class Polynomial(VectorKernel):
    """``(scale x . y + constant)^degree``: products of up to ``degree`` features are matched.

    Args:
        degree: at least 1.
        constant: at least 0; with 0 only products of exactly ``degree`` features count.
        scale: above 0; one over the squared length that features have is a choice that keeps
            likenesses near 1.

    Raises:
        UserError: for an option out of range.
    """

    def __init__(self, degree: int = 2, constant: float = 1.0, scale: float = 1.0) -> None:
        if degree < 1:
            raise UserError(f"degree is {degree}: it must be at least 1")
        if not 0 <= constant < float("inf"):
            raise UserError(f"constant is {constant}: it must be finite and at least 0")
        check_positive("scale", scale)
        self.degree = degree
        self.constant = constant
        self.scale = scale

    def __call__(self, left: Tensor, right: Tensor) -> Tensor:
        """See :meth:`VectorKernel.__call__`."""
        return (self.scale * Linear()(left, right) + self.constant) ** self.degree
