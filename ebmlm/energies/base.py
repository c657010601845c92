"""The energy: how bad is each sequence, given the others?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from ebmlm.errors import UserError
from ebmlm.rollouts import Rollouts, Scores
from ebmlm.typing import BatchAnchor, BatchAnchorSample, BatchAnchorSampleSample

__all__ = ["Energy", "EnergyTerms", "ScaledEnergy", "SumEnergy"]


@dataclass(frozen=True, eq=False)
class EnergyTerms:
    """Energies of rollouts as a U-statistic of order two: what each adds alone and in pairs.

    The energy of sample j is ``unary_j + 1/(N-1) sum_{k != j} pairwise_jk`` (docs/mathematics.md,
    eq. 3): the first variation of a functional of the policy at sample j, with the policy's own
    moment estimated from the other samples.

    Attributes:
        unary: (batch, anchor, sample).
        pairwise: (batch, anchor, sample, sample), symmetric with a zero diagonal, or None.
        metrics: named measurements (batch, anchor) for reporting; what stands at invalid anchors
            is not looked at.
    """

    unary: BatchAnchorSample
    pairwise: BatchAnchorSampleSample | None = None
    metrics: Mapping[str, BatchAnchor] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        """Rollouts per anchor, N."""
        return int(self.unary.shape[2])

    def per_sample(self) -> BatchAnchorSample:
        """Energy (batch, anchor, sample) of each rollout, its reward with the opposite sign.

        Raises:
            UserError: for pairwise terms of a single sample.
        """
        if self.pairwise is None:
            return self.unary
        self._check_pairs()
        return self.unary + self.pairwise.sum(-1) / (self.samples - 1)

    def functional(self) -> BatchAnchor:
        """Unbiased estimate (batch, anchor) of the functional's value, up to a constant.

        Raises:
            UserError: for pairwise terms of a single sample.
        """
        value = self.unary.mean(-1)
        if self.pairwise is None:
            return value
        self._check_pairs()
        pairs = self.samples * (self.samples - 1)
        return value + 0.5 * self.pairwise.sum((-1, -2)) / pairs

    def _check_pairs(self) -> None:
        if self.samples < 2:
            raise UserError(
                "1 sample per anchor: an energy with pairwise terms (feature matching with"
                " diversity above 0) compares rollouts with each other; draw at least 2"
            )

    def __add__(self, other: EnergyTerms) -> EnergyTerms:
        parts = [part for part in (self.pairwise, other.pairwise) if part is not None]
        pairwise = torch.stack(parts).sum(0) if parts else None
        return EnergyTerms(self.unary + other.unary, pairwise, {**self.metrics, **other.metrics})

    def __mul__(self, factor: float) -> EnergyTerms:
        pairwise = None if self.pairwise is None else self.pairwise * factor
        return EnergyTerms(self.unary * factor, pairwise, self.metrics)

    __rmul__ = __mul__


class Energy(ABC):
    """Answers one question: how bad is each sequence, given the others?

    Low is good. Energies add and scale: ``feature_matching + 0.05 * kl``. An energy depends on
    real tokens at valid anchors only, and treats the samples of an anchor alike: permuting them
    permutes its terms.
    """

    @abstractmethod
    def __call__(self, rollouts: Rollouts, scores: Scores) -> EnergyTerms:
        """Return the energy's terms, without gradient.

        Args:
            rollouts: what was drawn.
            scores: log-probabilities under the policy, and the reference where there is one.
        """

    @property
    def needs_reference(self) -> bool:
        """Whether it reads ``scores.reference``, so that the objective must have a reference."""
        return False

    @property
    def minimum_samples(self) -> int:
        """Rollouts per anchor that it needs: 2 where it compares them with each other."""
        return 1

    @property
    def bias(self) -> str | None:
        """Why its terms are not the first variation of their functional; None where they are.

        A declaration in words: the test kit holds an energy that declares nothing to exactness
        (docs/testing.md, "Declared bias").
        """
        return None

    def __add__(self, other: Energy) -> Energy:
        return SumEnergy([self, other])

    def __mul__(self, factor: float) -> Energy:
        return ScaledEnergy(self, factor)

    __rmul__ = __mul__


class SumEnergy(Energy):
    """The sum of energies; sums of sums are flat."""

    def __init__(self, energies: list[Energy]) -> None:
        self.energies: tuple[Energy, ...] = tuple(
            part
            for energy in energies
            for part in (energy.energies if isinstance(energy, SumEnergy) else (energy,))
        )
        if not self.energies:
            raise ValueError("a sum of no energies: give at least one")

    @property
    def needs_reference(self) -> bool:
        """Whether any of its parts does."""
        return any(energy.needs_reference for energy in self.energies)

    @property
    def minimum_samples(self) -> int:
        """The most that any of its parts needs."""
        return max(energy.minimum_samples for energy in self.energies)

    @property
    def bias(self) -> str | None:
        """What its parts say, each reason once."""
        reasons = dict.fromkeys(energy.bias for energy in self.energies if energy.bias)
        return "; ".join(reasons) or None

    def __call__(self, rollouts: Rollouts, scores: Scores) -> EnergyTerms:
        """See :meth:`Energy.__call__`."""
        total = self.energies[0](rollouts, scores)
        for energy in self.energies[1:]:
            total = total + energy(rollouts, scores)
        return total


class ScaledEnergy(Energy):
    """An energy times a number; its metrics keep their own scale."""

    def __init__(self, energy: Energy, factor: float) -> None:
        self.energy = energy
        self.factor = factor

    @property
    def needs_reference(self) -> bool:
        """Whether the scaled energy does."""
        return self.energy.needs_reference

    @property
    def minimum_samples(self) -> int:
        """What the scaled energy needs."""
        return self.energy.minimum_samples

    @property
    def bias(self) -> str | None:
        """What the scaled energy says."""
        return self.energy.bias

    def __call__(self, rollouts: Rollouts, scores: Scores) -> EnergyTerms:
        """See :meth:`Energy.__call__`."""
        return self.factor * self.energy(rollouts, scores)
