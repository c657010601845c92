"""The second moment of feature vectors, kept as low rank and a remainder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ebmlm.typing import RowFeature

__all__ = ["SecondMoment"]


@dataclass(frozen=True, eq=False)
class SecondMoment:
    """``S = E[phi phi^T]`` of D features: the directions that carry most, and what is left.

    ``S`` is ``factor^T factor`` plus ``remainder`` spread evenly over the other D - r directions,
    so nothing of size D x D is kept.

    Attributes:
        factor: (row, feature) with orthogonal rows, float64: r directions times the root of their
            moment.
        remainder: trace of the part of ``S`` that ``factor`` leaves out.
        count: how many independent vectors the mean is worth: ``1 / sum_i w_i^2`` for weights
            that add up to one.
        fourth: ``E |phi|^4``, which tells how uncertain ``S`` is (:mod:`ebmlm.features.shrinkage`).
    """

    factor: RowFeature
    remainder: float
    count: float
    fourth: float

    @classmethod
    def of(cls, vectors: RowFeature, rank: int | None = None) -> SecondMoment:
        """The second moment of the rows of ``vectors`` (row, feature), at least one.

        Args:
            vectors: (row, feature).
            rank: directions that are kept at most; all of them where it is None.
        """
        rows = vectors.double()
        lengths = rows.square().sum(-1)
        return cls._of_rows(
            rows / len(rows) ** 0.5, 0.0, len(rows), float(lengths.square().mean()), rank
        )

    @classmethod
    def mean(
        cls, moments: Sequence[SecondMoment], weights: Sequence[float], rank: int | None = None
    ) -> SecondMoment:
        """The mean of several second moments with ``weights`` that add up to one."""
        rows = torch.cat([m.factor * w**0.5 for m, w in zip(moments, weights, strict=True)])
        shares = list(zip(moments, weights, strict=True))
        return cls._of_rows(
            rows,
            sum(w * m.remainder for m, w in shares),
            1 / sum(w * w / m.count for m, w in shares),
            sum(w * m.fourth for m, w in shares),
            rank,
        )

    @classmethod
    def _of_rows(
        cls, rows: Tensor, remainder: float, count: float, fourth: float, rank: int | None
    ) -> SecondMoment:
        """Make the rows of a factor orthogonal, and keep the longest ``rank`` of them."""
        values, vectors = _principal(rows)
        kept = values > torch.finfo(torch.float64).eps * len(rows) * values[:1].clamp(min=0)
        values, vectors = values[kept], vectors[kept]
        if rank is not None and len(values) > rank:
            remainder += float(values[rank:].sum())
            values, vectors = values[:rank], vectors[:rank]
        return cls(values.sqrt().unsqueeze(-1) * vectors, remainder, float(count), fourth)

    @property
    def size(self) -> int:
        """Features, D."""
        return int(self.factor.shape[1])

    @property
    def values(self) -> Tensor:
        """Moments (row,) along the kept directions."""
        return self.factor.square().sum(-1)

    @property
    def directions(self) -> Tensor:
        """Kept directions (row, feature), of length one each."""
        return self.factor / self.values.sqrt().unsqueeze(-1)

    @property
    def trace(self) -> float:
        """``E |phi|^2``."""
        return float(self.values.sum()) + self.remainder

    @property
    def elsewhere(self) -> float:
        """Moment along each direction that is not kept; zero where all are."""
        others = self.size - len(self.factor)
        return self.remainder / others if others else 0.0

    @property
    def square(self) -> float:
        """Squared Frobenius norm of ``S``."""
        return float(self.values.square().sum()) + self.remainder * self.elsewhere


def _principal(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues of ``rows^T rows``, largest first, and eigenvectors (row, feature).

    By the smaller of the two Gram matrices.
    """
    count, size = rows.shape
    if count >= size:
        values, columns = torch.linalg.eigh(rows.mT @ rows)
        return values.flip(0).clamp(min=0), columns.mT.flip(0)
    _, singular, basis = torch.linalg.svd(rows, full_matrices=False)
    return singular.square(), basis
