"""A whitening map for all vectors: the inverse root of a shrunk second moment."""

from __future__ import annotations

from torch import Tensor

from ebmlm.errors import UserError
from ebmlm.features.base import FeatureMap, Features, mapped
from ebmlm.features.second_moment import SecondMoment
from ebmlm.features.shrinkage import FixedShrinkage, Shrinkage
from ebmlm.rollouts import Rollouts
from ebmlm.typing import RowFeature

__all__ = ["Metric", "Whitened", "as_shrinkage"]


def as_shrinkage(shrinkage: float | Shrinkage) -> Shrinkage:
    """Return ``shrinkage``; a number is a :class:`~ebmlm.features.shrinkage.FixedShrinkage`."""
    return shrinkage if isinstance(shrinkage, Shrinkage) else FixedShrinkage(shrinkage)


class Metric:
    """``(shrunk second moment)^(-1/2)`` as a linear map, kept as identity plus low rank.

    The second moment S of D features is shrunk towards a multiple of the identity with the same
    trace, ``(1 - s) S + s * trace / D * I`` (docs/mathematics.md, eq. 11), and the map is scaled so
    that vectors of that moment have a mean squared length of one afterwards. (The vectors that S
    was made of are shorter, the more so the fewer they are: they fill few directions.)

    Args:
        moment: S.
        shrinkage: the share s, or what chooses it.

    Raises:
        UserError: for a share outside (0, 1], or a moment of vectors that are all zero.
    """

    def __init__(self, moment: SecondMoment, shrinkage: float | Shrinkage = 0.1) -> None:
        share = as_shrinkage(shrinkage)(moment)
        floor = share * moment.trace / moment.size
        if floor <= 0:
            raise UserError("vectors without any length: there is nothing to whiten by")
        along = (1 - share) * moment.values + floor
        elsewhere = (1 - share) * moment.elsewhere + floor
        self.shrinkage = share
        self._base = (elsewhere * moment.size) ** -0.5
        self._gain = (along * moment.size) ** -0.5 - self._base
        self._basis = moment.directions

    @classmethod
    def of(cls, vectors: RowFeature, shrinkage: float | Shrinkage = 0.1) -> Metric:
        """Return the metric of the second moment of the rows of ``vectors`` (row, feature).

        Raises:
            UserError: for no vector, and as the constructor does.
        """
        if not len(vectors):
            raise UserError("0 vectors: there is nothing to whiten by")
        return cls(SecondMoment.of(vectors), shrinkage)

    @property
    def size(self) -> int:
        """Features that the metric is for, D."""
        return int(self._basis.shape[1])

    def __call__(self, vectors: Tensor) -> Tensor:
        """Map vectors (..., feature)."""
        wide = vectors.double()
        basis, gain = self._basis.to(wide.device), self._gain.to(wide.device)
        inner = (wide @ basis.mT) * gain
        return (self._base * wide + inner @ basis).to(vectors.dtype)


class Whitened(FeatureMap):
    """A feature map in a metric that is fixed beforehand.

    What :class:`~ebmlm.features.metric_whitening.MetricWhitening` does inside feature matching,
    for wherever a feature map goes: under a kernel, beside others, in an evaluation.

    Raises:
        UserError: for a metric of another dimension.
    """

    def __init__(self, features: FeatureMap, metric: Metric) -> None:
        width = features.width
        if width is not None and width != metric.size:
            raise UserError(
                f"the metric is for {metric.size} features and {type(features).__name__} has"
                f" {width}: fit it on the same feature map"
            )
        self.features = features
        self.metric = metric

    @property
    def blocks(self) -> tuple[int, ...] | None:
        """One: the metric mixes what stood apart."""
        return (self.metric.size,)

    def __call__(self, rollouts: Rollouts) -> Features:
        """See :meth:`FeatureMap.__call__`."""
        return mapped(self.features(rollouts), self.metric, (self.metric.size,))
