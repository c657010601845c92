"""Linear projections of features, and random ones that keep inner products.

A random matrix R of k rows with independent entries of variance 1/k keeps inner products in
expectation: ``E <Rx, Ry> = <x, y>`` with variance ``(|x|^2 |y|^2 + <x, y>^2) / k`` for normal
entries (Johnson and Lindenstrauss 1984; docs/mathematics.md, eq. 15).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ebmlm.errors import UserError
from ebmlm.features.algebra import known_width
from ebmlm.features.base import FeatureMap, Features, mapped
from ebmlm.rollouts import Rollouts
from ebmlm.typing import RowFeature

__all__ = ["Projected", "RandomProjection", "projection_error"]


class Projected(FeatureMap):
    """Features under a fixed linear map.

    Args:
        features: what is projected, of a width known beforehand.
        matrix: (row, feature); the result has as many features as it has rows.

    Raises:
        UserError: for a matrix of another shape, or one that is not finite.
    """

    def __init__(self, features: FeatureMap, matrix: RowFeature) -> None:
        width = known_width(features, "a projection")
        if matrix.ndim != 2 or matrix.shape[1] != width:
            raise UserError(
                f"the matrix has shape {tuple(matrix.shape)} and {type(features).__name__}"
                f" {width} features: it must be (rows, {width})"
            )
        if not matrix.isfinite().all():
            raise UserError("the matrix has an entry that is not finite")
        self.features = features
        self.matrix = matrix

    @property
    def blocks(self) -> tuple[int, ...] | None:
        """One: a projection mixes what stood apart."""
        return (int(self.matrix.shape[0]),)

    def __call__(self, rollouts: Rollouts) -> Features:
        """See :meth:`FeatureMap.__call__`."""
        return mapped(self.features(rollouts), self._project, (int(self.matrix.shape[0]),))

    def _project(self, vectors: Tensor) -> Tensor:
        return vectors @ self.matrix.to(vectors).mT


class RandomProjection(FeatureMap):
    """Features of many dimensions in few, by a fixed random normal matrix.

    Inner products are kept in expectation over matrices, with the standard error that
    :func:`projection_error` tells: for vectors of length one at most ``sqrt(2 / width)``, 0.044 at
    1024. One matrix is used throughout, so what is matched is a fixed functional, and the
    estimator stays unbiased for it.

    Args:
        features: of a width known beforehand.
        width: features afterwards.
        seed: of the matrix; two maps with the same seed and widths are the same map.

    Raises:
        UserError: for a width under 1, or over that of ``features``.
    """

    def __init__(self, features: FeatureMap, width: int = 1024, seed: int = 0) -> None:
        before = known_width(features, "a projection")
        if not 1 <= width <= before:
            raise UserError(
                f"width is {width}: project to at least 1 and at most the {before} features that"
                f" {type(features).__name__} has"
            )
        generator = torch.Generator().manual_seed(seed)
        matrix = torch.randn(width, before, generator=generator, dtype=torch.float64)
        self.features = features
        self._projected = Projected(features, matrix / width**0.5)
        self.seed = seed

    @property
    def blocks(self) -> tuple[int, ...] | None:
        """One."""
        return self._projected.blocks

    def __call__(self, rollouts: Rollouts) -> Features:
        """See :meth:`FeatureMap.__call__`."""
        return self._projected(rollouts)


def projection_error(left: Tensor, right: Tensor, width: int) -> Tensor:
    """Standard error (...) of inner products of vectors (..., feature) after a random projection.

    ``sqrt((|x|^2 |y|^2 + <x, y>^2) / width)`` (docs/mathematics.md, eq. 15).
    """
    lengths = left.square().sum(-1) * right.square().sum(-1)
    inner = (left * right).sum(-1)
    return ((lengths + inner.square()) / width).sqrt()
