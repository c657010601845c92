"""Whitening by one metric for all: given beforehand, or made of a batch's references.

Real continuations do not depend on the policy, so with either the feature-matching energy is the
first variation of a fixed functional, and the estimator stays unbiased. The running average is
:mod:`ebmlm.features.running_whitening`.
"""

from __future__ import annotations

from ebmlm.errors import UserError
from ebmlm.features.base import Features
from ebmlm.features.metric import Metric, as_shrinkage
from ebmlm.features.shrinkage import Shrinkage
from ebmlm.features.whitening import NoWhitening, Whitening, per_sample, references_of
from ebmlm.typing import BatchAnchor, BatchAnchorSampleFeature

__all__ = ["BatchMetricWhitening", "MetricWhitening"]


class MetricWhitening(Whitening):
    """One metric for all anchors and batches, given: ``MetricWhitening(Metric.of(rows))``."""

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
        references = self.metric(references_of(features))
        return self.metric(features.rollouts), per_sample(references, features.rollouts.shape[2])


class BatchMetricWhitening(Whitening):
    """One metric for the whole batch, from the second moment of its references.

    The metric changes from batch to batch, and with how a batch is cut.

    Args:
        shrinkage: in (0, 1], or what chooses it; a batch has fewer references than features have
            dimensions, so some is always needed.

    Raises:
        UserError: for a shrinkage outside (0, 1].
    """

    def __init__(self, shrinkage: float | Shrinkage = 0.1) -> None:
        self.shrinkage = as_shrinkage(shrinkage)

    def __call__(
        self, features: Features, anchor_mask: BatchAnchor
    ) -> tuple[BatchAnchorSampleFeature, BatchAnchorSampleFeature]:
        """See :meth:`Whitening.__call__`; without any reference, features are left as they are."""
        references = references_of(features)[anchor_mask]
        if not references.any():
            return NoWhitening()(features, anchor_mask)
        metric = Metric.of(references, self.shrinkage)
        return MetricWhitening(metric)(features, anchor_mask)
