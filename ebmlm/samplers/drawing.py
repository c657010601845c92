"""The loop that all samplers share: every branch of a batch grows by a token at a time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from ebmlm.distribution import TokenDistribution
from ebmlm.errors import UserError
from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import SequenceBatch
from ebmlm.typing import BatchAnchor, BatchAnchorSampleToken

__all__ = ["Drawn", "check_sizes", "draw_branches"]

# Steps after which the decoder is told which branches are over. Leaving them out copies what it
# holds of the others, which the shortest rollouts would not repay.
_STEPS_BETWEEN = 8


@dataclass(frozen=True, eq=False)
class Drawn:
    """Generated tokens, zero where they do not count.

    Attributes:
        completions: (batch, anchor, sample, token) token ids.
        mask: same shape; true up to the end token, and nowhere at invalid anchors.
        log_probs: same shape, in nats, of each token under the distribution it was drawn from.
    """

    completions: BatchAnchorSampleToken
    mask: BatchAnchorSampleToken
    log_probs: BatchAnchorSampleToken


def check_sizes(horizon: int, samples: int) -> None:
    """Refuse a horizon or a number of samples under 1.

    Raises:
        UserError: with the value.
    """
    if horizon < 1:
        raise UserError(f"horizon is {horizon}: it must be at least 1 token")
    if samples < 1:
        raise UserError(f"samples is {samples}: there must be at least 1 rollout per anchor")


def draw_branches(
    model: LanguageModel,
    batch: SequenceBatch,
    anchors: BatchAnchor,
    anchor_mask: BatchAnchor,
    distribution: TokenDistribution,
    uniforms: Tensor,
) -> Drawn:
    """Draw a branch for every anchor and sample, each until an end token or the horizon.

    Args:
        model: what is drawn from.
        batch: the text that is continued.
        anchors: (batch, anchor) index of the first generated token.
        anchor_mask: (batch, anchor) which of them are valid.
        distribution: how a token is drawn from the model's logits.
        uniforms: (batch, anchor, sample, token) in [0, 1), one for each token that may be drawn.
    """
    samples, horizon = uniforms.shape[2:]
    ends = torch.tensor(model.end_tokens, dtype=torch.long, device=uniforms.device)
    alive = anchor_mask.unsqueeze(-1).expand(uniforms.shape[:-1])
    drawn = []
    with model.start(batch, anchors, anchor_mask, samples, horizon) as decoder:
        for step in range(horizon):
            tokens, log_probs = decoder.draw(distribution, uniforms[..., step])
            drawn.append((torch.where(alive, tokens, 0), alive, torch.where(alive, log_probs, 0)))
            alive = alive & ~torch.isin(tokens, ends)
            if step + 1 == horizon or not alive.any():
                break
            if (step + 1) % _STEPS_BETWEEN == 0:
                decoder.keep(alive)
            decoder.advance(tokens)
    return Drawn(
        *(
            pad(torch.stack(column, dim=-1), (0, horizon - len(drawn)))
            for column in zip(*drawn, strict=True)
        )
    )
