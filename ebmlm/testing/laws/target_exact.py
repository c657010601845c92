"""The laws of a target sampler that are exact at any effort, over all numbers that it may draw."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

from ebmlm.errors import UserError
from ebmlm.rollouts import Rollouts
from ebmlm.targets.samplers.base import TargetDraws, TargetSampler
from ebmlm.targets.samplers.metropolis_hastings import MetropolisHastings
from ebmlm.testing.completions import Completions
from ebmlm.testing.every_number import every_number
from ebmlm.testing.laws.proof import EXAMPLES, DoesNotApply, require, require_equal
from ebmlm.testing.laws.target_worlds import (
    ListedTarget,
    drawn_numbers,
    listed_targets,
    source_of,
)

__all__ = [
    "accepted_draws_follow_the_target",
    "at_every_completion",
    "partition_is_unbiased",
    "steps_keep_the_target",
    "weighed_draws_follow_the_target",
]

T = TypeVar("T")

_EXACT = 1e-10

# Weights are 1, 1/2 and 0: shares of two are thirds and halves.
_SHARES = 6
# Ratios of two weights and of two tokens' probabilities, and places of up to four or six tokens.
_RATIOS = 12


def weighed_draws_follow_the_target(sampler: TargetSampler, examples: int = EXAMPLES) -> None:
    """Weighed by its estimate of Z, a draw from weighed candidates is the target's, to 1e-10.

    ``E[Z-hat 1(y)] = a(y)`` for any number of candidates or particles (Andrieu, Doucet and
    Holenstein 2010), over every combination of uniform numbers. For samplers that report
    ``log_partition`` and ``effective_samples``, of few candidates.
    """
    for world, drawn in _all_draws(sampler, {"log_partition", "effective_samples"}):
        partition = drawn.diagnostics["log_partition"][:, 0].exp()
        number = drawn_numbers(drawn.rollouts, world.completions)
        require(bool((number >= 0).all()), "a completion that cannot be drawn was drawn")
        for sample in range(number.shape[1]):
            found = _mean(world.completions, number[:, sample], partition)
            what = f"E[Z-hat 1(y)] of sample {sample}, {world}"
            require_equal(found, world.unnormalised, what, _EXACT)


def accepted_draws_follow_the_target(sampler: TargetSampler, examples: int = EXAMPLES) -> None:
    """Where nothing is missing and the bound holds, accepted draws are the target's, to 1e-10.

    Over every combination of uniform numbers, in worlds whose largest weight is 1. For samplers
    that report ``missing``, of few candidates and with a bound of 1 (``log_beta=0``).
    """
    for world, drawn in _all_draws(sampler, {"missing"}):
        whole = drawn.diagnostics["missing"][:, 0] == 0
        require(bool(whole.any()), f"nothing is ever accepted, {world}")
        number = drawn_numbers(drawn.rollouts, world.completions)[whole]
        for sample in range(number.shape[1]):
            found = _mean(world.completions, number[:, sample], torch.ones(len(number)).double())
            expected = world.unnormalised / world.unnormalised.sum()
            what = f"probabilities of accepted sample {sample}, {world}"
            require_equal(found, expected, what, _EXACT)


def partition_is_unbiased(sampler: TargetSampler, examples: int = EXAMPLES) -> None:
    """What it reports as log-partition function is the log of an unbiased estimate, to 1e-10.

    Over every combination of uniform numbers; for samplers that report it, of few candidates.
    """
    for world, drawn in _all_draws(sampler, {"log_partition"}):
        found = drawn.diagnostics["log_partition"][:, 0].exp().mean()
        require_equal(found, world.unnormalised.sum(), f"E[Z-hat], {world}", _EXACT)


def steps_keep_the_target(sampler: TargetSampler, examples: int = EXAMPLES) -> None:
    """Chains that follow the target follow it after a step too, to 1e-10.

    From every completion, over every combination of uniform numbers; for chains of Metropolis and
    Hastings, with a short horizon.
    """
    if not isinstance(sampler, MetropolisHastings):
        raise DoesNotApply("it has no steps")
    # Weights of 4 and 2: more than one, as unnormalised weights may be.
    for world in listed_targets(sampler.start, sampler.start.distribution, 4.0):
        states = len(world.completions)

        def run(rows: int, world: ListedTarget = world, states: int = states) -> Tensor:
            here = at_every_completion(world, rows)
            weights = world.target.log_weights(here)
            after, _, _ = sampler.step(world.target, here, weights)
            return drawn_numbers(after, world.completions)[:, 0].view(rows, states)

        number = _listed(run, world, _RATIOS)
        require(bool((number >= 0).all()), "a chain went where no completion is")
        target = world.unnormalised / world.unnormalised.sum()
        weight = target.expand_as(number).flatten() / len(number)
        after = torch.zeros_like(target).index_add(0, number.flatten(), weight)
        require_equal(after, target, f"distribution after a step, {world}", _EXACT)


def at_every_completion(world: ListedTarget, rows: int) -> Rollouts:
    """Every completion for every row of numbers: (row x completion), one sample each.

    The ids are the rows', so that all completions of a row meet the same numbers.
    """
    listed = world.completions
    index = torch.arange(len(listed)).repeat(rows).unsqueeze(-1)
    here = listed.groups(index)
    ids = torch.arange(rows).repeat_interleave(len(listed))
    recorded = listed.token_log_probs.detach()[index].unsqueeze(1)
    return dataclasses.replace(
        here, batch=dataclasses.replace(here.batch, ids=ids), log_probs=recorded
    )


def _all_draws(
    sampler: TargetSampler, needed: set[str]
) -> Iterator[tuple[ListedTarget, TargetDraws]]:
    source = source_of(sampler)
    for world in listed_targets(source, source.distribution):
        one = sampler.draw(world.target, world.many(1), generator=torch.Generator().manual_seed(0))
        if not needed <= one.diagnostics.keys():
            raise DoesNotApply(f"it does not report {' and '.join(sorted(needed))}")

        def run(rows: int, world: ListedTarget = world) -> TargetDraws:
            return sampler.draw(world.target, world.many(rows), generator=torch.Generator())

        yield world, _listed(run, world, _SHARES)


def _listed(run: Callable[[int], T], world: ListedTarget, cells: int) -> T:
    try:
        return every_number(run, world.model, world.token_cells, cells)
    except UserError as error:
        if "combinations" in str(error):
            raise DoesNotApply(str(error)) from None
        raise


def _mean(listed: Completions, number: Tensor, values: Tensor) -> Tensor:
    """Mean (completion,) of ``values`` (row,) where each completion was drawn, zero elsewhere."""
    return torch.zeros(len(listed)).double().index_add(0, number, values / len(number))
