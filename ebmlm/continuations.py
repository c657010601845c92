"""The real continuation as a completion: as a model would have written it, beside what it wrote."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from ebmlm.rollouts import Rollouts, SequenceBatch, gather_continuations
from ebmlm.samplers.anchors import AnchorPlacement
from ebmlm.typing import BatchAnchor, BatchAnchorReference

__all__ = ["CompleteContinuations", "cut_continuations", "with_real_first"]


def cut_continuations(
    batch: SequenceBatch,
    anchors: BatchAnchor,
    anchor_mask: BatchAnchor,
    horizon: int,
    end_tokens: Sequence[int],
) -> tuple[BatchAnchorReference, BatchAnchorReference]:
    """Return the real text after each anchor as a completion: up to an end token or the horizon."""
    tokens, mask = gather_continuations(batch, anchors, anchor_mask, horizon)
    ends = _ends(tokens, mask, end_tokens)
    alive = mask & ((ends.cumsum(-1) - ends) == 0)
    return torch.where(alive, tokens, 0), alive


class CompleteContinuations(AnchorPlacement):
    """Those anchors of another placement after which the real text is a whole completion.

    It has as many tokens as the horizon, or ends with an end token before. A text that merely stops
    (a document's edge) is nothing that a model's rollouts could be, and would be told from them by
    its length.

    Args:
        anchors: the placement.
        end_tokens: ids after which a completion is over.
    """

    def __init__(self, anchors: AnchorPlacement, end_tokens: Sequence[int] = ()) -> None:
        self.anchors = anchors
        self.end_tokens = tuple(end_tokens)

    def __call__(self, batch: SequenceBatch, horizon: int) -> tuple[BatchAnchor, BatchAnchor]:
        """See :meth:`AnchorPlacement.__call__`."""
        anchors, valid = self.anchors(batch, horizon)
        tokens, mask = cut_continuations(batch, anchors, valid, horizon, self.end_tokens)
        whole = mask.all(-1) | _ends(tokens, mask, self.end_tokens).any(-1)
        return anchors, valid & whole


def with_real_first(rollouts: Rollouts) -> Rollouts:
    """The rollouts with the real continuation before them as sample 0, with zero ``log_probs``."""
    tokens, mask = _as_completions(rollouts)
    return dataclasses.replace(
        rollouts,
        completions=torch.cat([tokens, rollouts.completions], 2),
        completion_mask=torch.cat([mask, rollouts.completion_mask], 2),
        log_probs=torch.cat([rollouts.log_probs.new_zeros(tokens.shape), rollouts.log_probs], 2),
    )


def _as_completions(rollouts: Rollouts) -> tuple[Tensor, Tensor]:
    """References (batch, anchor, 1, token), as many tokens as the horizon."""
    missing = rollouts.horizon - rollouts.references.shape[-1]
    sides = (0, max(missing, 0))
    tokens = torch.nn.functional.pad(rollouts.references, sides)[..., : rollouts.horizon]
    mask = torch.nn.functional.pad(rollouts.reference_mask, sides)[..., : rollouts.horizon]
    return tokens.unsqueeze(2), mask.unsqueeze(2)


def _ends(tokens: Tensor, mask: Tensor, end_tokens: Sequence[int]) -> Tensor:
    ends = torch.tensor(tuple(end_tokens), dtype=tokens.dtype, device=tokens.device)
    return (torch.isin(tokens, ends) & mask).long()
