"""Small worlds in which an estimator's expected gradient can be worked out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor

from ebmlm.distribution import Categorical, TokenDistribution
from ebmlm.estimators.base import Estimator
from ebmlm.rollouts import SequenceBatch
from ebmlm.testing.completions import list_completions
from ebmlm.testing.describe import Readable, describe_batch, numbers
from ebmlm.testing.energies import TabularEnergy
from ebmlm.testing.moments import GradientMoments, estimator_moments
from ebmlm.testing.strategies.configurations import distributions
from ebmlm.testing.strategies.models import tabular_models
from ebmlm.testing.strategies.numbers import tensors
from ebmlm.testing.strategies.texts import single_texts
from ebmlm.testing.tabular import TabularLanguageModel

__all__ = ["Functional", "World", "worlds"]

# Of probabilities (completion,), unary (completion,) and pairwise energies or None: a scalar.
Functional = Callable[[Tensor, Tensor, Tensor | None], Tensor]

_MOST_GROUPS = 800


@dataclass(frozen=True, eq=False)
class World(Readable):
    """A table, a text and an anchor in it, and an energy for everything that can be said there."""

    model: TabularLanguageModel
    batch: SequenceBatch
    distribution: TokenDistribution
    energy: TabularEnergy
    samples: int
    horizon: int

    @property
    def anchor(self) -> int:
        """After the last token of the text."""
        return int(self.batch.sequences.shape[1])

    def moments(self, estimator: Estimator, constant: float = 0.0) -> GradientMoments:
        """Exact moments of the estimator, with a constant added to all energies."""
        energy = self.energy
        if constant:
            energy = TabularEnergy(energy.vocabulary, energy.unary + constant, energy.pairwise)
        return estimator_moments(
            self.model,
            self.model.logits,
            self.batch,
            anchor=self.anchor,
            energy=energy,
            estimator=estimator,
            samples=self.samples,
            horizon=self.horizon,
            distribution=self.distribution,
        )

    def gradient(self, functional: Functional) -> Tensor:
        """Exact gradient of a functional in the table's logits."""
        listed = list_completions(
            self.model, self.batch, self.anchor, self.distribution, self.horizon
        )
        number = self.energy.numbers(listed.rollouts)[0, 0]
        pairwise = self.energy.pairwise
        value = functional(
            listed.log_probs().exp(),
            self.energy.unary[number],
            None if pairwise is None else pairwise[number][:, number],
        )
        (gradient,) = torch.autograd.grad(value, self.model.logits)
        return gradient

    def _probabilities(self) -> str:
        listed = list_completions(
            self.model, self.batch, self.anchor, self.distribution, self.horizon
        )
        chances = listed.log_probs().detach().exp().tolist()
        return "; ".join(
            f"{numbers(tokens[mask])} {chance:.4g}"
            for tokens, mask, chance in zip(listed.tokens, listed.mask, chances, strict=True)
        )

    def __str__(self) -> str:
        lines = [
            f"groups of {self.samples} out of these completions",
            f"  {describe_batch(self.batch)}",
            f"  drawn from {self.distribution}, {self.model}",
            f"  probability of each: {self._probabilities()}",
            f"  unary energy {numbers(self.energy.unary)}",
        ]
        if self.energy.pairwise is not None:
            lines.append(f"  pairwise {numbers(self.energy.pairwise)}")
        return "\n".join(lines)


@st.composite
def worlds(draw: st.DrawFn, min_samples: int = 1, pairs: bool = True) -> World:
    """Worlds of two or three tokens, one or two tokens of rollout, with and without ends.

    With pairwise energies too, unless ``pairs`` is false.
    """
    model = draw(tabular_models())
    vocabulary = model.vocabulary_size
    horizon = draw(st.integers(1, 2))
    size = vocabulary**horizon
    most = min_samples
    while size ** (most + 1) <= _MOST_GROUPS and most < min_samples + 2:
        most += 1
    samples = draw(st.integers(min_samples, most))
    unary = draw(tensors((size,)))
    pairwise = None
    if pairs and samples > 1 and draw(st.booleans()):
        upper = draw(tensors((size * (size + 1) // 2,)))
        pairwise = unary.new_zeros(size, size)
        rows, columns = torch.triu_indices(size, size)
        pairwise[rows, columns] = upper
        pairwise[columns, rows] = upper
    return World(
        model,
        draw(single_texts(vocabulary, max_length=3)),
        draw(distributions(truncated=True)),
        TabularEnergy(vocabulary, unary, pairwise),
        samples,
        horizon,
    )


def fixed_worlds(samples: int) -> list[World]:
    """Four worlds that do not change, to state a bias in numbers; two of them with pairs."""
    found = []
    for seed, ends in enumerate([(), (1,), (), (2,)]):
        generator = torch.Generator().manual_seed(seed)
        model = TabularLanguageModel(3, 2, end_tokens=ends, generator=generator)
        unary = torch.randn(9, generator=generator, dtype=torch.float64)
        half = torch.randn(9, 9, generator=generator, dtype=torch.float64)
        pairwise = half + half.mT if samples > 1 and seed > 1 else None
        batch = SequenceBatch.of(torch.tensor([[0, 2, 1]]))
        energy = TabularEnergy(3, unary, pairwise)
        found.append(World(model, batch, Categorical(), energy, samples, 2))
    return found
