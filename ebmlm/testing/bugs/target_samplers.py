"""Target samplers that draw, weigh or report something else than they say."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.samplers.anchors import GivenAnchors
from ebmlm.samplers.autoregressive import AutoregressiveSampler
from ebmlm.targets.energy_model import EnergyModel
from ebmlm.targets.samplers.base import TargetDraws
from ebmlm.targets.samplers.importance import ImportanceResampling
from ebmlm.targets.samplers.metropolis_hastings import MetropolisHastings
from ebmlm.targets.samplers.quasi_rejection import QuasiRejection
from ebmlm.testing.bugs.bug import Bug
from ebmlm.testing.bugs.particles import NeverReset, TwistLeftIn, WithoutFactors
from ebmlm.testing.laws.target_exact import (
    accepted_draws_follow_the_target,
    partition_is_unbiased,
    steps_keep_the_target,
    weighed_draws_follow_the_target,
)
from ebmlm.testing.laws.target_sampler import (
    diagnostics_are_in_range,
    draws_follow_the_target,
    target_draws_are_their_sequences_own,
    target_draws_are_whole_and_scored,
    what_is_ruled_out_is_told,
)
from ebmlm.typing import BatchAnchorSample

__all__ = [
    "TARGET_SAMPLER_BUGS",
    "AcceptsByDensity",
    "AcceptsByNewWeight",
    "AveragesAllRounds",
    "BoundsByCandidates",
    "CountsAcceptance",
    "FillsInSilence",
    "ForgetsProposal",
    "ForgetsTemperature",
    "KeepsOldRecord",
    "SeededByPlaceToo",
    "SharesNumbers",
]


def _candidates(number: int, horizon: int = 2) -> AutoregressiveSampler:
    return AutoregressiveSampler(horizon, number, anchors=GivenAnchors())


class _Densities(EnergyModel):
    """Takes its density for the weight of whatever was drawn."""

    def __init__(self, target: EnergyModel) -> None:
        super().__init__(
            target.language_model, target.energy, target.temperature, target.distribution
        )

    def log_weights(self, rollouts: Rollouts) -> BatchAnchorSample:
        """See :meth:`EnergyModel.log_weights`."""
        return self.log_density(rollouts)


class _Resampling(ImportanceResampling):
    def __init__(self) -> None:
        super().__init__(_candidates(2))


class ForgetsProposal(_Resampling):
    """Weighs candidates by the target's density, and not by how often they are proposed."""

    def draw(
        self,
        target: EnergyModel,
        batch: SequenceBatch,
        *,
        generator: torch.Generator | None = None,
    ) -> TargetDraws:
        """See :meth:`TargetSampler.draw`."""
        return super().draw(_Densities(target), batch, generator=generator)


class ForgetsTemperature(_Resampling):
    """Weighs candidates by their energy at temperature 1, whatever the target's is."""

    def draw(
        self,
        target: EnergyModel,
        batch: SequenceBatch,
        *,
        generator: torch.Generator | None = None,
    ) -> TargetDraws:
        """See :meth:`TargetSampler.draw`."""
        plain = EnergyModel(target.language_model, target.energy, 1.0, target.distribution)
        return super().draw(plain, batch, generator=generator)


class SharesNumbers(ImportanceResampling):
    """Draws every sequence with the same random numbers, so that equal prompts get equal draws."""

    def __init__(self) -> None:
        super().__init__(_candidates(60))

    def draw(
        self,
        target: EnergyModel,
        batch: SequenceBatch,
        *,
        generator: torch.Generator | None = None,
    ) -> TargetDraws:
        """See :meth:`TargetSampler.draw`."""
        same = dataclasses.replace(batch, ids=torch.zeros_like(batch.ids))
        return super().draw(target, same, generator=generator)


class SeededByPlaceToo(_Resampling):
    """Resamples by numbers that belong to a place in the batch, and not to the sequence."""

    def draw(
        self,
        target: EnergyModel,
        batch: SequenceBatch,
        *,
        generator: torch.Generator | None = None,
    ) -> TargetDraws:
        """See :meth:`TargetSampler.draw`."""
        places = dataclasses.replace(batch, ids=torch.arange(len(batch)))
        return super().draw(target, places, generator=generator)


class _Rejection(QuasiRejection):
    def __init__(self, number: int = 2, rounds: int = 1) -> None:
        super().__init__(_candidates(number), 0.0, rounds=rounds)


class BoundsByCandidates(_Rejection):
    """Takes the largest weight among the candidates for the bound on all weights."""

    def draw(
        self,
        target: EnergyModel,
        batch: SequenceBatch,
        *,
        generator: torch.Generator | None = None,
    ) -> TargetDraws:
        """See :meth:`TargetSampler.draw`."""
        return super().draw(_Rescaled(target), batch, generator=generator)


class _Rescaled(_Densities):
    """Weights by the largest of their anchor's."""

    def log_weights(self, rollouts: Rollouts) -> BatchAnchorSample:
        """See :meth:`EnergyModel.log_weights`."""
        weights = EnergyModel.log_weights(self, rollouts)
        largest = weights.amax(-1, keepdim=True)
        return weights - torch.where(largest > -torch.inf, largest, 0)


class FillsInSilence(_Rejection):
    """Fills up with candidates that were refused, and says that nothing is missing."""

    def draw(
        self,
        target: EnergyModel,
        batch: SequenceBatch,
        *,
        generator: torch.Generator | None = None,
    ) -> TargetDraws:
        """See :meth:`TargetSampler.draw`."""
        drawn = super().draw(target, batch, generator=generator)
        nothing = torch.zeros_like(drawn.diagnostics["missing"])
        return TargetDraws(drawn.rollouts, {**drawn.diagnostics, "missing": nothing})


class AveragesAllRounds(_Rejection):
    """Averages weights over rounds, of which there are more where the first weights were small."""

    def __init__(self) -> None:
        super().__init__(1, 2)

    def draw(
        self,
        target: EnergyModel,
        batch: SequenceBatch,
        *,
        generator: torch.Generator | None = None,
    ) -> TargetDraws:
        """See :meth:`TargetSampler.draw`."""
        watched = _Remembering(target)
        drawn = super().draw(watched, batch, generator=generator)
        weights = torch.cat(watched.weights, -1)
        used = torch.arange(weights.shape[-1]) < drawn.diagnostics["candidates"].unsqueeze(-1)
        mean = weights.exp().where(used, 0).sum(-1) / used.sum(-1)
        return TargetDraws(drawn.rollouts, {**drawn.diagnostics, "log_partition": mean.log()})


class _Remembering(_Densities):
    """Remembers the weights that it was asked for."""

    def __init__(self, target: EnergyModel) -> None:
        super().__init__(target)
        self.weights: list[Tensor] = []

    def proposed_log_weights(self, rollouts: Rollouts) -> BatchAnchorSample:
        """See :meth:`EnergyModel.proposed_log_weights`."""
        self.weights.append(EnergyModel.log_weights(self, rollouts))
        return self.weights[-1]


class CountsAcceptance(_Rejection):
    """Reports how many candidates were accepted, and calls it the share."""

    def draw(
        self,
        target: EnergyModel,
        batch: SequenceBatch,
        *,
        generator: torch.Generator | None = None,
    ) -> TargetDraws:
        """See :meth:`TargetSampler.draw`."""
        drawn = super().draw(target, batch, generator=generator)
        told = dict(drawn.diagnostics)
        told["acceptance"] = told["acceptance"] * told["candidates"]
        return TargetDraws(drawn.rollouts, told)


class _Chains(MetropolisHastings):
    def __init__(self) -> None:
        super().__init__(_candidates(1), steps=2)


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
        after, _, moves = super().step(_Densities(target), rollouts, density, generator=generator)
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


TARGET_SAMPLER_BUGS = (
    Bug("proposal left out of the weights", ForgetsProposal, weighed_draws_follow_the_target),
    Bug("energy's temperature left out", ForgetsTemperature, partition_is_unbiased),
    Bug("the same numbers for every sequence", SharesNumbers, draws_follow_the_target),
    Bug("resampled by place", SeededByPlaceToo, target_draws_are_their_sequences_own),
    Bug("bound from the candidates", BoundsByCandidates, accepted_draws_follow_the_target),
    Bug("filled up in silence", FillsInSilence, what_is_ruled_out_is_told),
    Bug("mean over rounds that stop", AveragesAllRounds, partition_is_unbiased),
    Bug("acceptance as a count", CountsAcceptance, diagnostics_are_in_range),
    Bug("accepted by the new weight alone", AcceptsByNewWeight, steps_keep_the_target),
    Bug("accepted by density", AcceptsByDensity, steps_keep_the_target),
    Bug("record of the old completion", KeepsOldRecord, target_draws_are_whole_and_scored),
    Bug("weights not reset", NeverReset, weighed_draws_follow_the_target),
    Bug("resampling left out of Z", WithoutFactors, partition_is_unbiased),
    Bug("twist left in", TwistLeftIn, weighed_draws_follow_the_target),
)
"""Every wrong target sampler."""
