"""A learned energy that can be any table, and every contrast of a small context."""

from __future__ import annotations

import functools
import itertools

import torch
from torch import Tensor

from ebmlm.energies import FixedFeatures, Head, ResidualEnergy
from ebmlm.features import FeatureMap, Features
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.testing import group_rollouts
from tests.exact import ANCHOR, TEXT, Toy
from tests.helpers import seeded


class OneHot(FeatureMap):
    """Which of all completions it is; what comes after an end token counts as 0."""

    def __init__(self, vocabulary: int, horizon: int) -> None:
        self.vocabulary, self.horizon = vocabulary, horizon

    @property
    def blocks(self) -> tuple[int, ...]:
        return (self.vocabulary**self.horizon,)

    def __call__(self, rollouts: Rollouts) -> Features:
        sampled = self._vectors(rollouts.completions, rollouts.token_mask())
        real = self._vectors(rollouts.references, rollouts.reference_mask)
        return Features(sampled, real, self.blocks)

    def _vectors(self, tokens: Tensor, mask: Tensor) -> Tensor:
        digits = self.vocabulary ** torch.arange(self.horizon - 1, -1, -1)
        number = (torch.where(mask, tokens, 0) * digits).sum(-1)
        vectors = torch.nn.functional.one_hot(number, self.blocks[0]).double()
        return torch.where(mask.any(-1, keepdim=True), vectors, 0)


def learned(toy: Toy, scale: float = 0.0) -> ResidualEnergy:
    """Linear in which completion it is; random where it has a scale."""
    head = Head(toy.vocabulary**toy.horizon, ()).double()
    with torch.no_grad():
        weight = head.output.weight
        weight.copy_(scale * torch.randn(weight.shape, generator=seeded(5), dtype=torch.float64))
    return ResidualEnergy(FixedFeatures(OneHot(toy.vocabulary, toy.horizon)), head)


def data(toy: Toy) -> Tensor:
    """Log-probabilities (completion,) of real text at the context."""
    scores = torch.randn(len(toy.listed()), generator=seeded(21), dtype=torch.float64)
    return scores.log_softmax(-1)


@functools.cache
def contrasts(toy: Toy, samples: int) -> tuple[Rollouts, Tensor]:
    """Every real completion with every group of negatives, one a row, and their numbers."""
    listed = toy.listed()
    index = torch.tensor(list(itertools.product(range(len(listed)), repeat=samples + 1)))
    text = torch.tensor(TEXT[:ANCHOR])
    rows = [
        group_rollouts(
            SequenceBatch.of(torch.cat([text, listed[row[0]]]).unsqueeze(0)),
            ANCHOR,
            listed[row[1:]],
            toy.distribution,
            toy.ends,
        )
        for row in index
    ]
    batch = SequenceBatch.of(torch.cat([row.sequences for row in rows]))
    return (
        Rollouts.given(
            batch,
            torch.full((len(rows), 1), ANCHOR),
            torch.ones(len(rows), 1, dtype=torch.bool),
            torch.cat([row.completions for row in rows]),
            toy.distribution,
            torch.cat([row.completion_mask for row in rows]),
        ),
        index,
    )


def energies(toy: Toy, energy: ResidualEnergy) -> Tensor:
    """Energies (completion,) of all completions, with gradient."""
    return energy.values(toy.groups(1))[:, 0, 0]


def text_batch(completions: Tensor) -> SequenceBatch:
    """The context, followed by these completions (row, token), with an anchor between."""
    text = torch.tensor(TEXT[:ANCHOR]).expand(len(completions), -1)
    return SequenceBatch.of(
        torch.cat([text, completions], 1), anchors=torch.full((len(completions), 1), ANCHOR)
    )


def kernel(toy: Toy, energy: ResidualEnergy) -> Tensor:
    """Transition probabilities (from, to) of Metropolis-Hastings with independent proposals."""
    model = toy.log_probabilities(toy.reference).detach().exp()
    weights = (-energies(toy, energy).detach()).exp()
    moves = model * (weights / weights.unsqueeze(-1)).clamp(max=1)
    return moves + torch.diag(1 - moves.sum(-1))
