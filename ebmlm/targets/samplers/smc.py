"""Sequential Monte Carlo: particles that grow, and are chosen again on the way."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import TypeAlias

import torch

from ebmlm.errors import UserError
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.samplers.base import Sampler
from ebmlm.samplers.randomness import sequence_uniforms
from ebmlm.samplers.resumption import resume
from ebmlm.targets.energy_model import EnergyModel
from ebmlm.targets.partition import estimate_partition
from ebmlm.targets.samplers.base import TargetDraws, TargetSampler, picked, ruled_out
from ebmlm.targets.samplers.importance import resampled
from ebmlm.typing import BatchAnchorSample

__all__ = ["SequentialMonteCarlo", "Twist", "potential_so_far"]

Twist: TypeAlias = Callable[[EnergyModel, Rollouts], BatchAnchorSample]
"""How promising beginnings are: log of a positive number (batch, anchor, sample), in nats."""


def potential_so_far(target: EnergyModel, rollouts: Rollouts) -> BatchAnchorSample:
    """The twist that takes a beginning for the whole: minus its energy, by the temperature.

    For a constraint only if a beginning that breaks it is never mended by what follows: a beginning
    of infinite energy is given up.
    """
    return -target.energies(rollouts) / target.temperature


class SequentialMonteCarlo(TargetSampler):
    """Particles grown ``block`` tokens at a time, weighed by a twist, resampled when few are left.

    After each block, particles are weighed by how their twist has changed (Lew et al. 2023; Zhao et
    al. 2024); at the end by the energy itself, so that any twist is right, and a good one keeps
    particles alive. They are drawn again where the effective sample size has fallen under a share
    of their number. Exact in the limit of many particles; the partition function's estimate is
    unbiased for any number.

    Args:
        start: places the anchors and says how tokens are drawn; its ``samples`` are the particles,
            its horizon the completions'.
        samples: completions per anchor, drawn from the particles at the end.
        block: tokens between two looks at the twist.
        twist: how promising a beginning is; :func:`potential_so_far` for energies that can be told
            of a part, None for none until the end.
        threshold: share of the particles under which the effective sample size has them drawn
            again, from 0 (never) to 1 (always).

    Raises:
        UserError: for fewer than one sample or token a block, or a threshold outside [0, 1].
    """

    def __init__(
        self,
        start: Sampler,
        samples: int = 1,
        block: int = 1,
        twist: Twist | None = None,
        threshold: float = 0.5,
    ) -> None:
        for name, value in (("samples", samples), ("block", block)):
            if value < 1:
                raise UserError(f"{name} is {value}: it must be at least 1")
        if not 0 <= threshold <= 1:
            raise UserError(f"threshold is {threshold}: a share of the particles, from 0 to 1")
        self.start = start
        self.samples = samples
        self.block = block
        self.twist = twist
        self.threshold = threshold

    @property
    def source(self) -> Sampler:
        """The sampler of particles."""
        return self.start

    @torch.no_grad()
    def draw(
        self,
        target: EnergyModel,
        batch: SequenceBatch,
        *,
        generator: torch.Generator | None = None,
    ) -> TargetDraws:
        """See :meth:`TargetSampler.draw`.

        Reports ``log_partition``, ``effective_samples`` at the end, ``resamplings``, and
        ``ancestors``: of how many first particles those that are left descend.
        """
        first = dataclasses.replace(_empty(self.start, batch), distribution=self.start.distribution)
        particles, horizon = first.samples, first.horizon
        shape = (first.anchors.shape[1], particles, horizon)
        uniforms = sequence_uniforms(batch.ids, shape, generator)
        # One for each particle and place at which it may be drawn again: all but the last.
        choices = sequence_uniforms(batch.ids, (*shape[:2], horizon - 1), generator)
        log_weights = uniforms.new_zeros(uniforms.shape[:3])
        log_partition = uniforms.new_zeros(uniforms.shape[:2])
        promised = torch.zeros_like(log_weights)
        ancestor = torch.arange(particles, device=log_weights.device).expand(log_weights.shape)
        resamplings = torch.zeros_like(log_partition)
        rollouts = first
        for begin in range(0, horizon, self.block):
            until = min(begin + self.block, horizon)
            kept = torch.full_like(ancestor, begin)
            rollouts = resume(target.language_model, rollouts, kept, uniforms, until=until)
            if until == horizon:
                potential = target.proposed_log_weights(rollouts)
            elif self.twist is None:
                continue
            else:
                potential = _corrected(target, rollouts) + self.twist(target, rollouts)
            log_weights = log_weights + _change(potential, promised)
            promised = potential
            if until == horizon:
                break
            effective = estimate_partition(log_weights).effective_samples
            again = (effective < self.threshold * particles) & (effective > 0)
            index = resampled(log_weights, choices[..., until - 1])
            index = torch.where(
                again.unsqueeze(-1), index, torch.arange(particles, device=index.device)
            )
            rollouts = picked(rollouts, index)
            promised, ancestor = promised.gather(-1, index), ancestor.gather(-1, index)
            mean = log_weights.logsumexp(-1) - math.log(particles)
            log_partition = log_partition + torch.where(again, mean, 0)
            log_weights = torch.where(again.unsqueeze(-1), 0, log_weights.gather(-1, index))
            resamplings = resamplings + again
        found = estimate_partition(log_weights)
        last = sequence_uniforms(batch.ids, (shape[0], self.samples), generator)
        index = resampled(log_weights, last)
        return TargetDraws(
            picked(rollouts, index),
            {
                "log_partition": log_partition + found.log_partition,
                "effective_samples": found.effective_samples,
                "resamplings": resamplings,
                "ancestors": _distinct(ancestor),
                "ruled_out": ruled_out(log_weights.gather(-1, index)),
            },
        )


def _corrected(target: EnergyModel, rollouts: Rollouts) -> BatchAnchorSample:
    """``log p_LM - log q`` of what is there so far: zero where the proposal is the target's own."""
    if rollouts.distribution == target.distribution:
        return torch.zeros(rollouts.completions.shape[:3], device=rollouts.completions.device)
    plain = dataclasses.replace(rollouts, distribution=target.distribution)
    scored = target.language_model.score(plain).completions.sum(-1)
    return scored - torch.where(rollouts.token_mask(), rollouts.log_probs, 0).sum(-1)


def _change(now: BatchAnchorSample, before: BatchAnchorSample) -> BatchAnchorSample:
    """``now - before``, where what was ruled out before stays so."""
    return torch.where(before == -torch.inf, -torch.inf, now - before)


def _distinct(ancestor: BatchAnchorSample) -> torch.Tensor:
    ordered = ancestor.sort(-1).values
    return 1.0 + (ordered.diff(dim=-1) > 0).sum(-1)


def _empty(start: Sampler, batch: SequenceBatch) -> Rollouts:
    """Rollouts at the sampler's anchors in which nothing has been written yet."""
    anchors, mask = start.anchors(batch, start.horizon)
    nothing = torch.zeros(
        *anchors.shape, start.samples, start.horizon, dtype=torch.long, device=anchors.device
    )
    empty = Rollouts.given(batch, anchors, mask, nothing, start.distribution, nothing.bool())
    # In full precision, whatever the model's is: what is recorded goes into the weights.
    return dataclasses.replace(empty, log_probs=empty.log_probs.double())
