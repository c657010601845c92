"""Sequential Monte Carlo written out for two tokens, and what is easily forgotten in it."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.samplers.anchors import GivenAnchors
from ebmlm.samplers.autoregressive import AutoregressiveSampler
from ebmlm.samplers.base import Sampler
from ebmlm.samplers.randomness import sequence_uniforms
from ebmlm.samplers.resumption import resume
from ebmlm.targets.energy_model import EnergyModel
from ebmlm.targets.partition import estimate_partition
from ebmlm.targets.samplers.base import TargetDraws, TargetSampler, picked, ruled_out
from ebmlm.targets.samplers.importance import resampled
from ebmlm.targets.samplers.smc import potential_so_far

__all__ = ["NeverReset", "TwistLeftIn", "TwoTokens", "WithoutFactors"]


class TwoTokens(TargetSampler):
    """Two particles of two tokens, always drawn again after the first: right, and slow."""

    def __init__(self) -> None:
        self.start = AutoregressiveSampler(2, 2, anchors=GivenAnchors())
        self.samples = 1

    @property
    def source(self) -> Sampler:
        """The sampler of particles."""
        return self.start

    def draw(
        self,
        target: EnergyModel,
        batch: SequenceBatch,
        *,
        generator: torch.Generator | None = None,
    ) -> TargetDraws:
        """See :meth:`TargetSampler.draw`."""
        rollouts = self._nothing(batch)
        shape = tuple(rollouts.completions.shape[1:])
        numbers = sequence_uniforms(batch.ids, shape, generator)
        kept = torch.zeros_like(rollouts.completions[..., 0])
        rollouts = resume(target.language_model, rollouts, kept, numbers, until=1)
        first = self._promise(target, rollouts)
        choices = sequence_uniforms(batch.ids, tuple(first.shape[1:]), generator)
        index = resampled(first, choices)
        kept = torch.ones_like(index)
        rollouts = resume(target.language_model, picked(rollouts, index), kept, numbers)
        before = first.gather(-1, index)
        gone = before == -torch.inf
        change = target.log_weights(rollouts) - torch.where(gone, 0, self.promised(before))
        weights = self.carried(before) + torch.where(gone, -torch.inf, change)
        found = estimate_partition(weights)
        last = sequence_uniforms(batch.ids, (shape[0], 1), generator)
        index = resampled(weights, last)
        factor = self.factor(first.logsumexp(-1) - math.log(first.shape[-1]))
        return TargetDraws(
            picked(rollouts, index),
            {
                "log_partition": factor + found.log_partition,
                "effective_samples": found.effective_samples,
                "ruled_out": ruled_out(weights.gather(-1, index)),
            },
        )

    def _nothing(self, batch: SequenceBatch) -> Rollouts:
        anchors, mask = self.start.anchors(batch, 2)
        tokens = torch.zeros(*anchors.shape, self.start.samples, 2, dtype=torch.long)
        empty = Rollouts.given(batch, anchors, mask, tokens, self.start.distribution, tokens.bool())
        return dataclasses.replace(empty, log_probs=empty.log_probs.double())

    def _promise(self, target: EnergyModel, begun: Rollouts) -> Tensor:
        plain = dataclasses.replace(begun, distribution=target.distribution)
        scored = target.language_model.score(plain).completions.detach()
        corrected = scored.sum(-1) - begun.log_probs.sum(-1)
        return corrected + potential_so_far(target, begun)

    def promised(self, before: Tensor) -> Tensor:
        """What a particle's weight has been given already, by its twist."""
        return before

    def carried(self, before: Tensor) -> Tensor:
        """What weight a particle has after it was drawn again: none."""
        return torch.zeros_like(before)

    def factor(self, mean: Tensor) -> Tensor:
        """What resampling adds to the log-partition function: the mean weight."""
        return mean


class NeverReset(TwoTokens):
    """Draws particles again by their weights, and weighs them by these once more."""

    def carried(self, before: Tensor) -> Tensor:
        """See :meth:`TwoTokens.carried`."""
        return before


class WithoutFactors(TwoTokens):
    """Estimates Z from the last weights alone, without the mean weights before resampling."""

    def factor(self, mean: Tensor) -> Tensor:
        """See :meth:`TwoTokens.factor`."""
        return torch.zeros_like(mean)


class TwistLeftIn(TwoTokens):
    """Weighs by energy at the end, and does not divide by the twist that chose already."""

    def promised(self, before: Tensor) -> Tensor:
        """See :meth:`TwoTokens.promised`."""
        return torch.zeros_like(before)
