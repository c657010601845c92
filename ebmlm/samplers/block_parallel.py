"""Strided block-parallel sampling: short rollouts from nested prefixes of the same text, at once.

The method's sampler (Jelassi et al. 2026, section 3). The trunk is read once per sequence,
whatever the number of anchors and samples; then each decode step adds one token to all branches.
"""

from __future__ import annotations

import torch
from torch.nn.functional import pad

from ebmlm.distribution import Categorical, TokenDistribution
from ebmlm.errors import UserError
from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import Rollouts, SequenceBatch, gather_continuations
from ebmlm.samplers.anchors import AnchorPlacement, StridedAnchors
from ebmlm.samplers.base import Sampler
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
        if horizon < 1:
            raise UserError(f"horizon is {horizon}: it must be at least 1 token")
        if samples < 1:
            raise UserError(f"samples is {samples}: there must be at least 1 rollout per anchor")
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
        ends = torch.tensor(model.end_tokens, dtype=torch.long, device=uniforms.device)
        alive = anchor_mask.unsqueeze(-1).expand(uniforms.shape[:-1])
        drawn = []
        with model.start(batch, anchors, anchor_mask, self.samples, self.horizon) as decoder:
            for step in range(self.horizon):
                tokens, log_probs = decoder.draw(self.distribution, uniforms[..., step])
                kept = (torch.where(alive, tokens, 0), torch.where(alive, log_probs, 0), alive)
                drawn.append(kept)
                alive = alive & ~torch.isin(tokens, ends)
                if step + 1 == self.horizon or not alive.any():
                    break
                decoder.advance(tokens)
        completions, recorded, mask = (
            pad(torch.stack(column, dim=-1), (0, self.horizon - len(drawn)))
            for column in zip(*drawn, strict=True)
        )
        references, reference_mask = gather_continuations(batch, anchors, anchor_mask, self.horizon)
        return Rollouts(
            batch=batch,
            anchors=anchors,
            anchor_mask=anchor_mask,
            completions=completions,
            completion_mask=mask,
            references=references,
            reference_mask=reference_mask,
            log_probs=recorded,
            distribution=self.distribution,
        )
