"""Rollouts drawn again from some token on, their beginnings kept."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.samplers.drawing import draw_branches
from ebmlm.typing import BatchAnchorSample

__all__ = ["resume"]


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
        where = grows.nonzero()
        batch, anchors = _begun(rollouts, length, where)
        steps = int((until - length[grows]).max())
        index = (length[grows].unsqueeze(-1) + torch.arange(steps, device=kept.device)).clamp(
            max=rollouts.horizon - 1
        )
        numbers = uniforms[grows].gather(-1, index)
        drawn = draw_branches(
            model,
            batch,
            anchors,
            torch.ones_like(anchors, dtype=torch.bool),
            rollouts.distribution,
            numbers[:, None, None],
        )
        for row, (b, k, n) in enumerate(where.tolist()):
            begin = int(length[b, k, n])
            new = slice(0, until - begin)
            target = slice(begin, until)
            completions[b, k, n, target] = drawn.completions[row, 0, 0, new]
            log_probs[b, k, n, target] = drawn.log_probs[row, 0, 0, new].to(log_probs.dtype)
            mask[b, k, n, target] = drawn.mask[row, 0, 0, new]
    return dataclasses.replace(
        rollouts, completions=completions, completion_mask=mask, log_probs=log_probs
    )


def _begun(rollouts: Rollouts, length: Tensor, where: Tensor) -> tuple[SequenceBatch, Tensor]:
    """Context and kept tokens of each rollout (b, k, n) in ``where`` as a row, and its end."""
    starts = rollouts.batch.document_starts()
    rows = []
    for b, k, n in where.tolist():
        anchor = int(rollouts.anchors[b, k])
        context = rollouts.sequences[b, int(starts[b, anchor - 1]) : anchor]
        rows.append(torch.cat([context, rollouts.completions[b, k, n, : int(length[b, k, n])]]))
    anchors = torch.tensor([[len(row)] for row in rows], device=length.device)
    # A place for the first token that is drawn, so that the anchor lies inside the row.
    width = int(anchors.max()) + 1
    sequences = torch.stack([torch.nn.functional.pad(row, (0, width - len(row))) for row in rows])
    mask = torch.arange(width, device=length.device) < anchors
    return SequenceBatch.of(sequences, mask), anchors
