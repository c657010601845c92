"""Whitening: the metric in which features are compared (Jelassi et al. 2026, eq. 8 and 9).

With ``Sigma`` a second moment of features, whitening maps ``phi`` to ``(Sigma^+)^(1/2) phi``.
Whose second moment it is, and on which side it is applied, makes the variants; docs/mathematics.md
says what each does to the estimator. None of them ever forms a feature x feature matrix where a
sample x sample one will do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from einops import repeat
from torch import Tensor

from ebmlm.errors import UserError
from ebmlm.features.base import Features
from ebmlm.typing import BatchAnchor, BatchAnchorSampleFeature, RowFeature

__all__ = [
    "BatchMetricWhitening",
    "FeatureSpaceWhitening",
    "Metric",
    "MetricWhitening",
    "NoWhitening",
    "SampleSpaceWhitening",
    "Whitening",
]

# Singular values under this share of the largest count as zero.
_RANK = 1e-5

_OWN_ROLLOUTS = "whitened by a map that is made of the very rollouts it is applied to"


class Whitening(ABC):
    """Answers one question: in which metric are features compared?"""

    @property
    def bias(self) -> str | None:
        """Why matching in this metric has a biased gradient; None where it has not."""
        return None

    @abstractmethod
    def __call__(
        self, features: Features, anchor_mask: BatchAnchor
    ) -> tuple[BatchAnchorSampleFeature, BatchAnchorSampleFeature]:
        """Return whitened rollouts and references, both (batch, anchor, sample, feature).

        A reference is repeated for each sample, since a variant may map it differently for each.

        Args:
            features: with references.
            anchor_mask: (batch, anchor) which anchors may contribute to a common moment.
        """


def _references(features: Features) -> Tensor:
    if features.references is None:
        raise UserError("these features have no references: matching needs a real continuation")
    return features.references


def _per_sample(references: Tensor, samples: int) -> Tensor:
    return repeat(references, "batch anchor feature -> batch anchor sample feature", sample=samples)


def _inverse_powers(symmetric: Tensor, powers: tuple[float, ...]) -> list[Tensor]:
    """Pseudo-inverse powers of positive semi-definite matrices, in float64.

    ``_RANK`` is a ratio of singular values; the eigenvalues here are their squares.
    """
    values, vectors = torch.linalg.eigh(symmetric.double())
    largest = values[..., -1:].clamp(min=torch.finfo(torch.float64).tiny)
    kept = values > _RANK**2 * largest
    safe = torch.where(kept, values, 1.0)
    return [
        (vectors * torch.where(kept, safe**-power, 0.0).unsqueeze(-2)) @ vectors.mT
        for power in powers
    ]


class NoWhitening(Whitening):
    """Features as they are."""

    def __call__(
        self, features: Features, anchor_mask: BatchAnchor
    ) -> tuple[BatchAnchorSampleFeature, BatchAnchorSampleFeature]:
        """See :meth:`Whitening.__call__`."""
        references = _references(features)
        return features.rollouts, _per_sample(references, features.rollouts.shape[2])


class FeatureSpaceWhitening(Whitening):
    """The paper's formula: ``Sigma = 1/N sum_j phi_j phi_j^T`` of each anchor's own rollouts.

    The same linear map is applied to rollouts and reference. It depends on the rollouts it is
    applied to, so the policy gradient is biased; and N distinct rollouts come out orthogonal with
    squared length N, so the diversity term only tells duplicates apart.
    """

    @property
    def bias(self) -> str | None:
        """Always."""
        return _OWN_ROLLOUTS

    def __call__(
        self, features: Features, anchor_mask: BatchAnchor
    ) -> tuple[BatchAnchorSampleFeature, BatchAnchorSampleFeature]:
        """See :meth:`Whitening.__call__`.

        With X the N rollouts as rows and G = X X^T, ``(Sigma^+)^(1/2) = sqrt(N) X^T G^(-3/2) X``,
        so rollouts become ``sqrt(N) G^(-1/2) X`` and a reference ``sqrt(N) X^T G^(-3/2) X r``.
        """
        rollouts = features.rollouts.double()
        references = _references(features).double()
        samples = rollouts.shape[2]
        half, three_halves = _inverse_powers(rollouts @ rollouts.mT, (0.5, 1.5))
        root = samples**0.5
        whitened = root * half @ rollouts
        # A vector of no length has none afterwards either: what rounding leaves of it would have a
        # direction, and a cosine.
        whitened = torch.where(rollouts.any(-1, keepdim=True), whitened, 0)
        projected = three_halves @ (rollouts @ references.unsqueeze(-1))
        reference = root * (rollouts.mT @ projected).squeeze(-1)
        dtype = features.rollouts.dtype
        return whitened.to(dtype), _per_sample(reference, samples).to(dtype)


class SampleSpaceWhitening(Whitening):
    """What the reference implementation computes: ``(X X^T)^(-1/2)`` of each anchor's rollouts.

    Applied from the left to the rollouts X (equal to :class:`FeatureSpaceWhitening` up to the
    factor sqrt(N)) and to N copies of the reference, which scales the raw reference by one number
    per sample. Needed to reproduce published numbers.
    """

    @property
    def bias(self) -> str | None:
        """Always."""
        return _OWN_ROLLOUTS

    def __call__(
        self, features: Features, anchor_mask: BatchAnchor
    ) -> tuple[BatchAnchorSampleFeature, BatchAnchorSampleFeature]:
        """See :meth:`Whitening.__call__`."""
        rollouts = features.rollouts.double()
        copies = _per_sample(_references(features).double(), rollouts.shape[2])
        (half,) = _inverse_powers(rollouts @ rollouts.mT, (0.5,))
        dtype = features.rollouts.dtype
        return (half @ rollouts).to(dtype), (half @ copies).to(dtype)


class Metric:
    """``(shrunk second moment)^(-1/2)`` as a linear map, kept as identity plus low rank.

    The second moment of M vectors of D features is shrunk towards a multiple of the identity with
    the same trace, ``(1 - shrinkage) R^T R / M + shrinkage * trace / D * I``, and the map is scaled
    so that the M vectors have a mean squared length of one afterwards.

    Args:
        vectors: (row, feature), the M vectors R.
        shrinkage: in (0, 1].

    Raises:
        UserError: for a shrinkage outside (0, 1], or vectors that are none or all zero.
    """

    def __init__(self, vectors: RowFeature, shrinkage: float = 0.1) -> None:
        _check_shrinkage(shrinkage)
        rows = vectors.double()
        count = len(rows)
        floor = float(shrinkage * rows.square().mean()) if count else 0.0
        if floor <= 0:
            raise UserError(f"{count} vectors without any length: there is nothing to whiten by")
        _, singular, basis = torch.linalg.svd(rows, full_matrices=False)
        along = (1 - shrinkage) * singular.square() / count + floor
        length = (singular.square() / along).sum() / count
        self._base = (floor * length) ** -0.5
        self._gain = (along * length) ** -0.5 - self._base
        self._basis = basis

    @property
    def size(self) -> int:
        """Features that the metric is for, D."""
        return int(self._basis.shape[1])

    def __call__(self, vectors: Tensor) -> Tensor:
        """Map vectors (..., feature)."""
        wide = vectors.double()
        inner = (wide @ self._basis.mT) * self._gain
        return (self._base * wide + inner @ self._basis).to(vectors.dtype)


def _check_shrinkage(shrinkage: float) -> None:
    if not 0 < shrinkage <= 1:
        raise UserError(f"shrinkage is {shrinkage}: it must be above 0 and at most 1")


class MetricWhitening(Whitening):
    """One metric for all anchors and batches, fixed beforehand: ``MetricWhitening(Metric(rows))``.

    It does not depend on the rollouts it is applied to, so the feature-matching energy is the first
    variation of a fixed functional, and the estimator stays unbiased.
    """

    def __init__(self, metric: Metric) -> None:
        self.metric = metric

    def __call__(
        self, features: Features, anchor_mask: BatchAnchor
    ) -> tuple[BatchAnchorSampleFeature, BatchAnchorSampleFeature]:
        """See :meth:`Whitening.__call__`.

        Raises:
            UserError: for features of another dimension than the metric's.
        """
        size = features.rollouts.shape[-1]
        if size != self.metric.size:
            raise UserError(
                f"the metric is for {self.metric.size} features and these have {size}:"
                " fit it on the same feature map"
            )
        references = self.metric(_references(features))
        return self.metric(features.rollouts), _per_sample(references, features.rollouts.shape[2])


class BatchMetricWhitening(Whitening):
    """One metric for the whole batch, from the second moment of its references.

    References do not depend on the policy, so the estimator is unbiased for the functional in this
    metric. The metric changes from batch to batch, and with how a batch is cut.

    Args:
        shrinkage: in (0, 1]; a batch has fewer references than features have dimensions, so some
            is always needed.

    Raises:
        UserError: for a shrinkage outside (0, 1].
    """

    def __init__(self, shrinkage: float = 0.1) -> None:
        _check_shrinkage(shrinkage)
        self.shrinkage = shrinkage

    def __call__(
        self, features: Features, anchor_mask: BatchAnchor
    ) -> tuple[BatchAnchorSampleFeature, BatchAnchorSampleFeature]:
        """See :meth:`Whitening.__call__`; without any reference, features are left as they are."""
        references = _references(features)[anchor_mask]
        if not references.any():
            return NoWhitening()(features, anchor_mask)
        metric = Metric(references, self.shrinkage)
        return MetricWhitening(metric)(features, anchor_mask)
