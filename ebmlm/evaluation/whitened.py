"""The feature-matching loss in a metric that is fitted to the held-out text itself."""

from __future__ import annotations

import torch

from ebmlm.energies.feature_matching import feature_matching_loss, feature_matching_terms
from ebmlm.evaluation.measurement import Measurement
from ebmlm.features.base import Features, mapped
from ebmlm.features.metric import Metric
from ebmlm.features.shrinkage import Shrinkage
from ebmlm.typing import BatchAnchor

__all__ = ["WhitenedMatching"]


class WhitenedMatching:
    """Collects features batch by batch, and measures them once all have been seen.

    The metric is that of the real continuations of all rows (docs/mathematics.md, eq. 11), so
    that it is the same for every model that is measured on them, and does not depend on how rows
    are cut in batches. All features are kept until then: 4 bytes for every row, anchor, rollout and
    feature.

    Args:
        shrinkage: of the metric.
    """

    def __init__(self, shrinkage: float | Shrinkage) -> None:
        self._shrinkage = shrinkage
        self._seen: list[tuple[Features, BatchAnchor]] = []

    def see(self, features: Features, anchor_mask: BatchAnchor) -> None:
        """Keep the features of a batch."""
        self._seen.append((features, anchor_mask))

    def measure(self) -> Measurement:
        """Return the loss of all sequences seen, in order; zero where no anchor is valid."""
        references = [
            features.references[mask]
            for features, mask in self._seen
            if features.references is not None
        ]
        metric = Metric.of(torch.cat(references).float(), self._shrinkage)
        totals, counts = [], []
        for features, mask in self._seen:
            seen = mapped(features, metric, (metric.size,))
            loss = feature_matching_loss(seen, feature_matching_terms(seen, mask))
            totals.append(torch.where(mask, loss, 0).double().sum(1).cpu())
            counts.append(mask.sum(1).cpu())
        return Measurement(torch.cat(totals), torch.cat(counts))
