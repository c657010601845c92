"""Prompt-completion pairs of every kind, and what was drawn for them."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from ebmlm.distribution import TokenDistribution
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.samplers import AutoregressiveSampler, GivenAnchors
from tests.helpers import VOCABULARY, seeded

ENDS = tuple(range(0, VOCABULARY, 9))


def pairs(vocabulary: int = VOCABULARY) -> SequenceBatch:
    """Prompts and completions: padding on the left; on the right; two pairs in a row; a prompt
    alone, with nothing after it; and a row of padding."""
    sequences = torch.randint(vocabulary, (5, 20), generator=seeded(3))
    mask = torch.ones_like(sequences, dtype=torch.bool)
    mask[0, :5] = False
    mask[1, 9:] = False
    mask[3, 12:] = False
    mask[4] = False
    documents = torch.arange(5).unsqueeze(1).repeat(1, 20) + 40
    documents[2, 11:] = 7
    index = torch.arange(20)
    targets = index >= torch.tensor([[11], [3], [6], [12], [0]])
    targets[2] = ((index >= 6) & (index < 11)) | (index >= 15)
    return SequenceBatch.of(
        sequences, mask, documents, ids=torch.tensor([9, 4, 17, 3, 5]), targets=targets
    )


def with_given(batch: SequenceBatch) -> SequenceBatch:
    """The same with anchors given: where prompts end, that of the prompt alone too."""
    anchors = torch.tensor([[11, 0], [3, 0], [6, 15], [12, 0], [0, 0]])
    return dataclasses.replace(batch, anchors=anchors, anchor_mask=anchors > 0)


def sampler(
    distribution: TokenDistribution | None = None, *, horizon: int = 24, samples: int = 3
) -> AutoregressiveSampler:
    return AutoregressiveSampler(horizon, samples, distribution, GivenAnchors())


def draw(model: Any, batch: SequenceBatch, part: AutoregressiveSampler, seed: int = 0) -> Rollouts:
    return part.sample(model, batch, generator=seeded(seed))


def valid(rollouts: Rollouts) -> list[tuple[Tensor, ...]]:
    """Of every row what was drawn at its valid anchors, columns that are only wider left out."""
    found = []
    for row, place in rollouts.anchor_mask.nonzero().tolist():
        real = rollouts.reference_mask[row, place]
        names = ("completions", "completion_mask", "log_probs")
        own = tuple(getattr(rollouts, name)[row, place] for name in names)
        found.append((*own, rollouts.references[row, place][real]))
    return found


def assert_same(found: list[tuple[Tensor, ...]], expected: list[tuple[Tensor, ...]]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        for left, right in zip(ours, theirs, strict=True):
            if left.is_floating_point():
                torch.testing.assert_close(left, right, atol=1e-10, rtol=0)
            else:
                assert torch.equal(left, right)
