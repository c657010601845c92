"""Distributions over a few completions, by which an energy's functional is differentiated."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor

from ebmlm.distribution import Categorical
from ebmlm.energies.base import Energy, EnergyTerms
from ebmlm.rollouts import Scores
from ebmlm.testing.completions import Completions, conditional_log_probs
from ebmlm.testing.describe import Readable, describe_rollouts, numbers
from ebmlm.testing.enumeration import group_rollouts
from ebmlm.testing.strategies.texts import single_texts
from ebmlm.typing import Row

__all__ = ["Support", "supports"]


@dataclass(frozen=True, eq=False)
class Support(Readable):
    """A few completions of one text, with a policy's and a reference's probabilities."""

    completions: Completions
    probabilities: Row
    reference: Row
    samples: int

    @property
    def _groups(self) -> Tensor:
        every = torch.arange(len(self.completions))
        index = torch.cartesian_prod(*[every] * self.samples)
        return index.view(-1, self.samples)

    def value(self, energy: Energy, probabilities: Row) -> Tensor:
        """Exact value of the energy's functional at any probabilities (completion,)."""
        terms, weights = self._terms(energy, probabilities)
        return (weights.prod(-1) * terms.functional()[:, 0]).sum()

    def variation(self, energy: Energy) -> Row:
        """What the energy says its first variation is: its expectation given each completion."""
        terms, weights = self._terms(energy, self.probabilities)
        first = self._groups[:, 0]
        each = weights[:, 1:].prod(-1) * terms.per_sample()[:, 0, 0]
        return torch.zeros_like(self.probabilities).index_add(0, first, each)

    def derivative(self, energy: Energy, direction: Row) -> Tensor:
        """Derivative of :meth:`value` in a direction, from five points: error of fourth order."""
        step = 1e-3 * float(self.probabilities.min())

        def at(steps: int) -> Tensor:
            return self.value(energy, self.probabilities + steps * step * direction)

        return (at(-2) - 8 * at(-1) + 8 * at(1) - at(2)) / (12 * step)

    def _terms(self, energy: Energy, probabilities: Row) -> tuple[EnergyTerms, Tensor]:
        index = self._groups
        policy = conditional_log_probs(self.completions, probabilities)
        reference = conditional_log_probs(self.completions, self.reference)
        scores = Scores(policy[index].unsqueeze(1), reference[index].unsqueeze(1))
        return energy(self.completions.groups(index), scores), probabilities[index]

    def __str__(self) -> str:
        return "\n".join(
            [
                f"groups of {self.samples} of these completions",
                describe_rollouts(self.completions.rollouts),
                f"  probabilities {numbers(self.probabilities)}",
                f"  reference {numbers(self.reference)}",
            ]
        )


@st.composite
def supports(draw: st.DrawFn, vocabulary: int, samples: int, max_horizon: int = 3) -> Support:
    """Two or three different completions after one text, with an end token or without one."""
    batch = draw(single_texts(vocabulary))
    anchor = draw(st.integers(1, batch.sequences.shape[1]))
    horizon = draw(st.integers(1, max_horizon))
    token = st.integers(0, vocabulary - 1)
    ends = tuple(draw(st.sets(token, max_size=1)))
    strings = draw(
        st.lists(
            st.lists(token, min_size=horizon, max_size=horizon).map(lambda s: _ended(s, ends)),
            min_size=2,
            max_size=3,
            unique=True,
        )
    )
    weights = st.lists(st.integers(1, 4), min_size=len(strings), max_size=len(strings))
    rollouts = group_rollouts(batch, anchor, torch.tensor(strings), Categorical(), ends)
    nothing = torch.zeros(len(strings), horizon, dtype=torch.float64)
    policy, reference = (torch.tensor(draw(weights), dtype=torch.float64) for _ in range(2))
    return Support(
        Completions(rollouts, nothing), policy / policy.sum(), reference / reference.sum(), samples
    )


def _ended(string: list[int], ends: tuple[int, ...]) -> tuple[int, ...]:
    """The string with zeros after its first end token."""
    for place, token in enumerate(string):
        if token in ends:
            return (*string[: place + 1], *[0] * (len(string) - place - 1))
    return tuple(string)
