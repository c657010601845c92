"""A feature map that returns what it is given, and rollouts for it."""

from __future__ import annotations

import torch
from torch import Tensor

from ebmlm.distribution import Categorical
from ebmlm.features import FeatureMap, Features
from ebmlm.rollouts import Rollouts, SequenceBatch
from tests.helpers import seeded


class Given(FeatureMap):
    """Fixed vectors."""

    def __init__(
        self, rollouts: Tensor, references: Tensor | None, blocks: tuple[int, ...] | None = None
    ) -> None:
        self.features = Features(rollouts, references, blocks or (rollouts.shape[-1],))

    @property
    def blocks(self) -> tuple[int, ...]:
        return self.features.blocks

    def __call__(self, rollouts: Rollouts) -> Features:
        return self.features


class Undeclared(Given):
    """Of which nobody knows the width beforehand."""

    @property
    def blocks(self) -> None:  # type: ignore[override]
        return None


def some_rollouts(samples: int = 4) -> Rollouts:
    """Two rows, three anchors of which one is invalid, two tokens."""
    batch = SequenceBatch.of(torch.arange(20).view(2, 10) % 7)
    anchors = torch.tensor([[2, 4, 6], [3, 5, 0]])
    completions = torch.randint(7, (2, 3, samples, 2), generator=seeded(0))
    return Rollouts.given(batch, anchors, anchors > 0, completions, Categorical())


def given(width: int = 5, samples: int = 4, seed: int = 0, **options: object) -> Given:
    """Random vectors, zero at the invalid anchor."""
    rollouts = torch.randn(2, 3, samples, width, generator=seeded(seed), dtype=torch.float64)
    references = torch.randn(2, 3, width, generator=seeded(seed + 1), dtype=torch.float64)
    rollouts[1, 2], references[1, 2] = 0, 0
    return Given(rollouts, references, **options)  # type: ignore[arg-type]
