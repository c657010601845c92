"""Rollouts drawn again from some token on, their beginnings kept."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.samplers.drawing import Drawn, draw_branches
from ebmlm.typing import BatchAnchorSample

__all__ = ["draw_after", "resume"]


@torch.no_grad()
def resume(
    model: LanguageModel,
    rollouts: Rollouts,
    kept: BatchAnchorSample,
    uniforms: Tensor,
    *,
    until: int | None = None,
) -> Rollouts:
    """Return the rollouts with the first ``kept`` tokens of each, and new ones after them.

    A rollout that ended within what is kept stays as it is. What is new is drawn from the model, by
    the rollouts' own distribution, after the context and what is kept.

    Args:
        model: what is drawn from; the same that drew what is kept.
        rollouts: whose beginnings are kept.
        kept: (batch, anchor, sample) tokens, from 0 up.
        uniforms: (batch, anchor, sample, token) in [0, 1), one for each place; those of places that
            are kept are not used.
        until: tokens that rollouts are grown to, at most; the horizon unless given.
    """
    until = rollouts.horizon if until is None else until
    place = torch.arange(rollouts.horizon, device=kept.device)
    stays = rollouts.completion_mask & (place < kept.unsqueeze(-1))
    length = stays.sum(-1)
    ends = torch.tensor(model.end_tokens, dtype=torch.long, device=kept.device)
    over = (torch.isin(rollouts.completions, ends) & stays).any(-1)
    grows = ~over & (length < until) & rollouts.anchor_mask.unsqueeze(-1)
    completions = torch.where(stays, rollouts.completions, 0)
    log_probs = torch.where(stays, rollouts.log_probs, 0)
    mask = stays.clone()
    if grows.any():
        begin = length[grows].unsqueeze(-1)
        steps = int(until - begin.min())
        index = begin + torch.arange(steps, device=kept.device)
        inside = index < until
        numbers = uniforms[grows].gather(-1, index.clamp(max=rollouts.horizon - 1))
        drawn = draw_after(model, rollouts, grows, length, numbers)
        found = (drawn.completions, drawn.log_probs, drawn.mask)
        for whole, new in zip((completions, log_probs, mask), found, strict=True):
            rows = whole[grows]
            # What would stand past ``until`` is put beyond the horizon, and cut off.
            wide = torch.nn.functional.pad(rows, (0, steps))
            places = torch.where(inside, index, rollouts.horizon + torch.arange(steps).to(index))
            wide = wide.scatter(-1, places, new[:, 0, 0].to(rows.dtype))
            whole[grows] = wide[:, : rollouts.horizon]
    return dataclasses.replace(
        rollouts, completions=completions, completion_mask=mask, log_probs=log_probs
    )


def draw_after(
    model: LanguageModel,
    rollouts: Rollouts,
    chosen: BatchAnchorSample,
    length: BatchAnchorSample,
    uniforms: Tensor,
) -> Drawn:
    """Draw what follows the first ``length`` tokens of some rollouts, by their distribution.

    Args:
        model: what is drawn from.
        rollouts: whose beginnings are read.
        chosen: (batch, anchor, sample) true at those that are drawn for; none of them may have
            ended in its first ``length`` tokens.
        length: (batch, anchor, sample) tokens.
        uniforms: (chosen, token) in [0, 1).

    Returns:
        One row for each that is chosen, in their order: shapes (chosen, 1, 1, token).
    """
    batch, anchors = _begun(rollouts, length, chosen)
    valid = torch.ones_like(anchors, dtype=torch.bool)
    return draw_branches(
        model, batch, anchors, valid, rollouts.distribution, uniforms[:, None, None]
    )


def _begun(rollouts: Rollouts, length: Tensor, chosen: Tensor) -> tuple[SequenceBatch, Tensor]:
    """Context and first tokens of each chosen rollout as a row, and where it ends."""
    row, anchor, _ = chosen.nonzero().unbind(-1)
    after = rollouts.anchors[row, anchor]
    first = rollouts.batch.document_starts()[row, after - 1]
    written = length[chosen]
    ends = after - first + written
    # A place for the first token that is drawn, so that the anchor lies inside the row.
    place = torch.arange(int(ends.max()) + 1, device=length.device)
    context = (first.unsqueeze(-1) + place).clamp(max=rollouts.sequences.shape[1] - 1)
    own = (place - (after - first).unsqueeze(-1)).clamp(0, rollouts.horizon - 1)
    tokens = torch.where(
        place < (after - first).unsqueeze(-1),
        rollouts.sequences[row].gather(1, context),
        rollouts.completions[chosen].gather(1, own),
    )
    mask = place < ends.unsqueeze(-1)
    return SequenceBatch.of(torch.where(mask, tokens, 0), mask), ends.unsqueeze(-1)
