"""Markov chains that do not keep the target, or not their record."""

from __future__ import annotations

import dataclasses

import torch

from ebmlm.rollouts import Rollouts
from ebmlm.samplers.anchors import GivenAnchors
from ebmlm.samplers.autoregressive import AutoregressiveSampler
from ebmlm.targets.energy_model import EnergyModel
from ebmlm.targets.samplers.metropolis_hastings import MetropolisHastings
from ebmlm.typing import BatchAnchorSample

__all__ = ["AcceptsByDensity", "AcceptsByNewWeight", "Densities", "KeepsOldRecord"]


class Densities(EnergyModel):
    """Takes its density for the weight of whatever was drawn."""

    def __init__(self, target: EnergyModel) -> None:
        super().__init__(
            target.language_model, target.energy, target.temperature, target.distribution
        )

    def log_weights(self, rollouts: Rollouts) -> BatchAnchorSample:
        """See :meth:`EnergyModel.log_weights`."""
        return self.log_density(rollouts)

    def proposed_log_weights(self, rollouts: Rollouts) -> BatchAnchorSample:
        """See :meth:`EnergyModel.proposed_log_weights`: wrong in the same way."""
        return self.log_weights(rollouts)


class _Chains(MetropolisHastings):
    def __init__(self) -> None:
        super().__init__(AutoregressiveSampler(2, 1, anchors=GivenAnchors()), steps=2)


class AcceptsByNewWeight(_Chains):
    """Accepts by the weight of what is proposed alone, and not by its ratio to the old one."""

    def step(
        self,
        target: EnergyModel,
        rollouts: Rollouts,
        log_weights: BatchAnchorSample,
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Rollouts, BatchAnchorSample, BatchAnchorSample]:
        """See :meth:`MetropolisHastings.step`."""
        one = torch.zeros_like(log_weights)
        after, _, moves = super().step(target, rollouts, one, generator=generator)
        return after, target.log_weights(after), moves


class AcceptsByDensity(_Chains):
    """Accepts by the ratio of densities, though likely completions are proposed more often."""

    def step(
        self,
        target: EnergyModel,
        rollouts: Rollouts,
        log_weights: BatchAnchorSample,
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Rollouts, BatchAnchorSample, BatchAnchorSample]:
        """See :meth:`MetropolisHastings.step`."""
        density = target.log_density(rollouts)
        after, _, moves = super().step(Densities(target), rollouts, density, generator=generator)
        return after, target.log_weights(after), moves


class KeepsOldRecord(_Chains):
    """Moves the tokens of a chain, and leaves the log-probabilities that it started with."""

    def step(
        self,
        target: EnergyModel,
        rollouts: Rollouts,
        log_weights: BatchAnchorSample,
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Rollouts, BatchAnchorSample, BatchAnchorSample]:
        """See :meth:`MetropolisHastings.step`."""
        after, weights, moves = super().step(target, rollouts, log_weights, generator=generator)
        return dataclasses.replace(after, log_probs=rollouts.log_probs), weights, moves
