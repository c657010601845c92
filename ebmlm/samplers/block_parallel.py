"""Strided block-parallel sampling: short rollouts from nested prefixes of the same text, at once.

The method's sampler (Jelassi et al. 2026, section 3). The trunk is read once per sequence,
whatever the number of anchors and samples; then each decode step adds one token to all branches.
"""

from __future__ import annotations

import torch

from ebmlm.distribution import Categorical, TokenDistribution
from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import Rollouts, SequenceBatch, gather_continuations
from ebmlm.samplers.anchors import AnchorPlacement, StridedAnchors
from ebmlm.samplers.base import Sampler
from ebmlm.samplers.drawing import check_sizes, draw_branches
from ebmlm.samplers.randomness import sequence_uniforms

__all__ = ["BlockParallelSampler"]


class BlockParallelSampler(Sampler):
    """Draws ``samples`` rollouts of up to ``horizon`` tokens at every anchor of a batch.

    Args:
        anchors: where rollouts start.
        horizon: tokens of a rollout at most, G.
        samples: rollouts per anchor, N.
        distribution: how a token is drawn from the model's logits.

    Raises:
        UserError: for a horizon or a number of samples under 1.
    """

    def __init__(
        self,
        anchors: AnchorPlacement | None = None,
        horizon: int = 8,
        samples: int = 4,
        distribution: TokenDistribution | None = None,
    ) -> None:
        check_sizes(horizon, samples)
        self.anchors: AnchorPlacement = StridedAnchors() if anchors is None else anchors
        self.horizon = horizon
        self.samples = samples
        self.distribution: TokenDistribution = distribution or Categorical()

    def sample(
        self,
        model: LanguageModel,
        batch: SequenceBatch,
        *,
        generator: torch.Generator | None = None,
    ) -> Rollouts:
        """See :meth:`Sampler.sample`."""
        anchors, anchor_mask = self.anchors(batch, self.horizon)
        shape = (anchors.shape[1], self.samples, self.horizon)
        uniforms = sequence_uniforms(batch.ids, shape, generator)
        drawn = draw_branches(model, batch, anchors, anchor_mask, self.distribution, uniforms)
        references, reference_mask = gather_continuations(batch, anchors, anchor_mask, self.horizon)
        return Rollouts(
            batch=batch,
            anchors=anchors,
            anchor_mask=anchor_mask,
            completions=drawn.completions,
            completion_mask=drawn.mask,
            references=references,
            reference_mask=reference_mask,
            log_probs=drawn.log_probs,
            distribution=self.distribution,
        )
