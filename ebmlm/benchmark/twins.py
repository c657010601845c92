"""The naive twins of the fast paths: honest, simple, and slow.

Each does what a straightforward implementation of the method does: the trunk is repeated for every
sample, one dense mask covers ``trunk + one branch per anchor``, nothing is cached, and logits are
made for every position. They give the same numbers, so they are test oracles too.
"""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange, repeat
from torch import Tensor

from ebmlm.rollouts import Rollouts
from ebmlm.transformers_model import TransformersLanguageModel

__all__ = ["twin_features", "twin_log_probs", "twin_rollouts"]


def _laid_out(rollouts: Rollouts, sample: int) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens, positions and dense mask of the trunk with one branch per anchor.

    For sequences without padding or further documents, as the benchmark has them.
    """
    batch, anchors, horizon = rollouts.batch, rollouts.anchors, rollouts.horizon
    length, count = batch.sequences.shape[1], anchors.shape[1]
    branches = rearrange(rollouts.completions[:, :, sample], "b anchor token -> b (anchor token)")
    tokens = torch.cat([batch.sequences, branches], dim=1)
    trunk = torch.arange(length, device=tokens.device)
    steps = torch.arange(horizon, device=tokens.device)
    own = rearrange(anchors.unsqueeze(-1) + steps, "b anchor token -> b (anchor token)")
    positions = torch.cat([trunk.expand(len(batch), -1), own], dim=1)
    block = torch.arange(count, device=tokens.device).repeat_interleave(horizon)
    step = steps.repeat(count)
    mask = torch.zeros(len(batch), 1, *[tokens.shape[1]] * 2, dtype=torch.bool)
    mask[:, :, :length, :length] = trunk.unsqueeze(0) <= trunk.unsqueeze(1)
    starts = anchors.repeat_interleave(horizon, dim=1)
    mask[:, 0, length:, :length] = trunk < starts.unsqueeze(-1)
    same = block.unsqueeze(0) == block.unsqueeze(1)
    mask[:, :, length:, length:] = same & (step.unsqueeze(0) <= step.unsqueeze(1))
    return tokens, positions, mask


def _repeated(rollouts: Rollouts) -> tuple[Tensor, Tensor, Tensor]:
    """The layouts of all samples below each other: ``batch * sample`` rows."""
    parts = [_laid_out(rollouts, sample) for sample in range(rollouts.samples)]
    tokens, positions, masks = (torch.cat(column) for column in zip(*parts, strict=True))
    return tokens, positions, masks


def twin_rollouts(model: TransformersLanguageModel, rollouts: Rollouts, seed: int = 0) -> Tensor:
    """Draw completions (batch, anchor, sample, token) anew, running everything for every token."""
    generator = torch.Generator().manual_seed(seed)
    _, anchor, sample, horizon = rollouts.completions.shape
    length = rollouts.sequences.shape[1]
    tokens, positions, mask = _repeated(rollouts)
    tokens = tokens.clone()
    first = repeat(rollouts.anchors - 1, "batch anchor -> (sample batch) anchor", sample=sample)
    blocks = length + torch.arange(anchor) * horizon
    with torch.no_grad():
        for step in range(horizon):
            parents = first if step == 0 else (blocks + step - 1).expand_as(first)
            logits = _logits(model, tokens, positions, mask)
            index = parents.unsqueeze(-1).expand(-1, -1, logits.shape[-1])
            chosen = (logits.gather(1, index).float() / rollouts.distribution.temperature).softmax(
                -1
            )
            drawn = torch.multinomial(chosen.flatten(0, 1), 1, generator=generator)
            tokens[:, blocks + step] = drawn.view(len(tokens), anchor)
    return rearrange(
        tokens[:, length:],
        "(sample batch) (anchor token) -> batch anchor sample token",
        sample=sample,
        anchor=anchor,
    )


def twin_features(
    model: TransformersLanguageModel, rollouts: Rollouts, layers: tuple[int, ...]
) -> list[Tensor]:
    """Hidden states (batch, anchor, sample, token, feature) of the branches at each layer."""
    length = rollouts.sequences.shape[1]
    with torch.no_grad():
        tokens, positions, mask = _repeated(rollouts)
        output: Any = model.model.base_model(
            input_ids=tokens,
            position_ids=positions,
            attention_mask=mask,
            output_hidden_states=True,
            use_cache=False,
        )
    return [
        rearrange(
            output.hidden_states[layer][:, length:],
            "(sample batch) (anchor token) feature -> batch anchor sample token feature",
            sample=rollouts.samples,
            token=rollouts.horizon,
        )
        for layer in layers
    ]


def twin_log_probs(model: TransformersLanguageModel, rollouts: Rollouts, sample: int) -> Tensor:
    """Log-probabilities (batch, anchor, token) in nats of one sample's branches, with gradient.

    One sample at a time, so that the full logits of only one are in memory.
    """
    length, horizon = rollouts.sequences.shape[1], rollouts.horizon
    tokens, positions, mask = _laid_out(rollouts, sample)
    logits = _logits(model, tokens, positions, mask).float() / rollouts.distribution.temperature
    scored = logits.log_softmax(-1)
    blocks = length + torch.arange(rollouts.anchors.shape[1]).unsqueeze(-1) * horizon
    later = (blocks + torch.arange(horizon - 1)).expand(len(tokens), -1, -1)
    parents = torch.cat([(rollouts.anchors - 1).unsqueeze(-1), later], dim=-1)
    index = parents.flatten(1).unsqueeze(-1).expand(-1, -1, scored.shape[-1])
    predicted = scored.gather(1, index)
    targets = rollouts.completions[:, :, sample].flatten(1).unsqueeze(-1)
    return predicted.gather(-1, targets).view(len(tokens), -1, horizon)


def _logits(
    model: TransformersLanguageModel, tokens: Tensor, positions: Tensor, mask: Tensor
) -> Tensor:
    output: Any = model.model(
        input_ids=tokens, position_ids=positions, attention_mask=mask, use_cache=False
    )
    logits: Tensor = output.logits
    return logits
