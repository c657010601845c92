"""Next-token cross-entropy: supervised fine-tuning."""

from __future__ import annotations

import torch

from ebmlm.estimators.base import Estimate
from ebmlm.language_model import LanguageModel
from ebmlm.objectives.base import ItemCounts, Objective
from ebmlm.rollouts import SequenceBatch
from ebmlm.typing import BatchPosition, Scalar

__all__ = ["CrossEntropy", "cross_entropy"]


def cross_entropy(log_probs: BatchPosition, tokens: float) -> Scalar:
    """Negative log-likelihood in nats over ``tokens`` real tokens, at temperature 1."""
    return -log_probs.sum() / max(tokens, 1)


class CrossEntropy(Objective):
    """The mean negative log-likelihood per real token: SFT. Reports ``cross_entropy`` in nats."""

    def loss(
        self,
        model: LanguageModel,
        batch: SequenceBatch,
        *,
        counts: ItemCounts | None = None,
        generator: torch.Generator | None = None,
    ) -> Estimate:
        """See :meth:`Objective.loss`; draws nothing."""
        counts = self.counts(batch) if counts is None else counts
        loss = cross_entropy(model.score_sequences(batch), counts.tokens)
        return Estimate(loss, {"cross_entropy": loss.detach()})

    def counts(self, batch: SequenceBatch) -> ItemCounts:
        """See :meth:`Objective.counts`."""
        return ItemCounts(anchors=0, tokens=int(batch.target_mask().sum()))
