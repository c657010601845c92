"""Target samplers that draw, weigh or report something else than they say."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.samplers.anchors import GivenAnchors
from ebmlm.samplers.autoregressive import AutoregressiveSampler
from ebmlm.targets.energy_model import EnergyModel
from ebmlm.targets.samplers.base import TargetDraws, TargetSampler
from ebmlm.targets.samplers.importance import ImportanceResampling
from ebmlm.targets.samplers.quasi_rejection import QuasiRejection
from ebmlm.testing.bugs.bug import Bug
from ebmlm.testing.bugs.chains import (
    AcceptsByDensity,
    AcceptsByNewWeight,
    Densities,
    KeepsOldRecord,
)
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
    "AveragesAllRounds",
    "BoundsByCandidates",
    "CountsAcceptance",
    "FillsInSilence",
    "ForgetsProposal",
    "ForgetsTemperature",
    "SeededByPlaceToo",
    "SharesNumbers",
]


def _candidates(number: int, horizon: int = 2) -> AutoregressiveSampler:
    return AutoregressiveSampler(horizon, number, anchors=GivenAnchors())


class _Altered(TargetSampler):
    """Before a sampler: asks it for something else, or tells something else of what it drew."""

    def asked(self, target: EnergyModel, batch: SequenceBatch) -> tuple[EnergyModel, SequenceBatch]:
        """Return what is drawn from in place of these."""
        return target, batch

    def told(self, drawn: TargetDraws) -> TargetDraws:
        """Return what is reported in place of this."""
        return drawn

    def draw(
        self,
        target: EnergyModel,
        batch: SequenceBatch,
        *,
        generator: torch.Generator | None = None,
    ) -> TargetDraws:
        """See :meth:`TargetSampler.draw`."""
        target, batch = self.asked(target, batch)
        # Of the sampler that stands beside this class among the bases.
        drawn = super().draw(target, batch, generator=generator)  # type: ignore[safe-super]
        return self.told(drawn)


class _Resampling(_Altered, ImportanceResampling):
    def __init__(self, candidates: int = 2) -> None:
        super().__init__(_candidates(candidates))


class ForgetsProposal(_Resampling):
    """Weighs candidates by the target's density, and not by how often they are proposed."""

    def asked(self, target: EnergyModel, batch: SequenceBatch) -> tuple[EnergyModel, SequenceBatch]:
        """See :meth:`_Altered.asked`."""
        return Densities(target), batch


class ForgetsTemperature(_Resampling):
    """Weighs candidates by their energy at temperature 1, whatever the target's is."""

    def asked(self, target: EnergyModel, batch: SequenceBatch) -> tuple[EnergyModel, SequenceBatch]:
        """See :meth:`_Altered.asked`."""
        plain = EnergyModel(target.language_model, target.energy, 1.0, target.distribution)
        return plain, batch


class SharesNumbers(_Resampling):
    """Draws every sequence with the same random numbers, so that equal prompts get equal draws."""

    def __init__(self) -> None:
        super().__init__(60)

    def asked(self, target: EnergyModel, batch: SequenceBatch) -> tuple[EnergyModel, SequenceBatch]:
        """See :meth:`_Altered.asked`."""
        return target, dataclasses.replace(batch, ids=torch.zeros_like(batch.ids))


class SeededByPlaceToo(_Resampling):
    """Resamples by numbers that belong to a place in the batch, and not to the sequence."""

    def asked(self, target: EnergyModel, batch: SequenceBatch) -> tuple[EnergyModel, SequenceBatch]:
        """See :meth:`_Altered.asked`."""
        return target, dataclasses.replace(batch, ids=torch.arange(len(batch)))


class _Rejection(_Altered, QuasiRejection):
    def __init__(self, number: int = 2, rounds: int = 1) -> None:
        super().__init__(_candidates(number), 0.0, rounds=rounds)


class BoundsByCandidates(_Rejection):
    """Takes the largest weight among the candidates for the bound on all weights."""

    def asked(self, target: EnergyModel, batch: SequenceBatch) -> tuple[EnergyModel, SequenceBatch]:
        """See :meth:`_Altered.asked`."""
        return _Rescaled(target), batch


class _Rescaled(Densities):
    """Weights by the largest of their anchor's."""

    def log_weights(self, rollouts: Rollouts) -> BatchAnchorSample:
        """See :meth:`EnergyModel.log_weights`."""
        weights = EnergyModel.log_weights(self, rollouts)
        largest = weights.amax(-1, keepdim=True)
        return weights - torch.where(largest > -torch.inf, largest, 0)


class FillsInSilence(_Rejection):
    """Fills up with candidates that were refused, and says that nothing is missing."""

    def told(self, drawn: TargetDraws) -> TargetDraws:
        """See :meth:`_Altered.told`."""
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


class _Remembering(Densities):
    """Remembers the weights that it was asked for."""

    def __init__(self, target: EnergyModel) -> None:
        super().__init__(target)
        self.weights: list[Tensor] = []

    def log_weights(self, rollouts: Rollouts) -> BatchAnchorSample:
        """See :meth:`EnergyModel.log_weights`."""
        self.weights.append(EnergyModel.log_weights(self, rollouts))
        return self.weights[-1]


class CountsAcceptance(_Rejection):
    """Reports how many candidates were accepted, and calls it the share."""

    def told(self, drawn: TargetDraws) -> TargetDraws:
        """See :meth:`_Altered.told`."""
        count = drawn.diagnostics["acceptance"] * drawn.diagnostics["candidates"]
        return TargetDraws(drawn.rollouts, {**drawn.diagnostics, "acceptance": count})


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
