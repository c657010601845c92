"""An objective made for a table, and situations in which its loss is taken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor

from ebmlm.errors import UserError
from ebmlm.estimators.base import Estimate
from ebmlm.language_model import LanguageModel
from ebmlm.objectives.base import ItemCounts, Objective
from ebmlm.rollouts import SequenceBatch
from ebmlm.testing.describe import Readable, describe_batch
from ebmlm.testing.strategies.texts import texts_of_length
from ebmlm.testing.tabular import TabularLanguageModel

__all__ = ["Loss", "Recipe", "Situation", "Trained"]

Recipe = Callable[[LanguageModel], Objective]

_LONGEST_TEXT = 128

Loss = tuple[Tensor, dict[str, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Situation(Readable):
    """Text, and the seed of what is drawn for it."""

    batch: SequenceBatch
    seed: int

    def generator(self) -> torch.Generator:
        """A new generator, always in the same state."""
        return torch.Generator().manual_seed(self.seed)

    def loss(self, trained: Trained, pieces: Sequence[SequenceBatch]) -> Loss:
        """Loss, metrics and gradient of pieces, each with the counts of all and the same seed."""
        counts = ItemCounts(0, 0)
        for piece in pieces:
            counts = counts + trained.objective.counts(piece)
        total, metrics = torch.zeros((), dtype=torch.float64), dict[str, Tensor]()
        for piece in pieces:
            estimate: Estimate = trained.objective.loss(
                trained.model, piece, counts=counts, generator=self.generator()
            )
            total = total + estimate.loss
            for name, value in estimate.metrics.items():
                metrics[name] = metrics.get(name, torch.zeros(())) + value.detach()
        trains = list(trained.objective.trained(trained.model).parameters())
        gradients = torch.autograd.grad(total, trains, materialize_grads=True)
        return total.detach(), metrics, torch.cat([gradient.flatten() for gradient in gradients])

    def __str__(self) -> str:
        return f"seed {self.seed}\n{describe_batch(self.batch)}"


@dataclass(frozen=True, eq=False)
class Trained:
    """A table, the objective made for it, and how long a text it needs."""

    model: TabularLanguageModel
    objective: Objective
    length: int

    @classmethod
    def of(cls, recipe: Recipe) -> Trained:
        """Make the objective, and find the shortest text in which it counts anchors or tokens.

        Raises:
            UserError: where it counts nothing in 128 tokens.
        """
        generator = torch.Generator().manual_seed(0)
        model = TabularLanguageModel(3, 3, end_tokens=(2,), generator=generator)
        objective = recipe(model)
        shortest = 0
        for length in range(2, _LONGEST_TEXT + 1):
            anchors = torch.ones(1, 1, dtype=torch.long)
            batch = SequenceBatch.of(torch.zeros(1, length, dtype=torch.long), anchors=anchors)
            try:
                counts = objective.counts(batch)
            except UserError:
                continue
            if counts.anchors:
                return cls(model, objective, length)
            if counts.tokens:
                shortest = shortest or length
        if not shortest:
            raise UserError(
                f"the objective counts nothing in {_LONGEST_TEXT} tokens: give it smaller settings"
            )
        return cls(model, objective, shortest)

    def situations(self) -> st.SearchStrategy[Situation]:
        """Text with room for the objective's rollouts, and seeds."""
        text = texts_of_length(self.model.vocabulary_size, self.length, max_rows=3)
        return st.builds(Situation, text, st.integers(0, 99))
