"""The laws of a target sampler.

Each takes a :class:`~ebmlm.targets.samplers.TargetSampler` and raises where it breaks the law, with
a smallest counterexample (docs/testing.md, "Laws").
"""

from __future__ import annotations

import dataclasses

import torch
from hypothesis import strategies as st
from torch import Tensor

from ebmlm.rollouts import Rollouts
from ebmlm.targets.samplers.base import TargetDraws, TargetSampler
from ebmlm.testing.laws.cases import padded
from ebmlm.testing.laws.proof import EXAMPLES, Draw, for_all, require, require_equal
from ebmlm.testing.laws.target_exact import (
    accepted_draws_follow_the_target,
    partition_is_unbiased,
    steps_keep_the_target,
    weighed_draws_follow_the_target,
)
from ebmlm.testing.laws.target_worlds import (
    drawn_numbers,
    random_targets,
    source_of,
    target_samplings,
    too_unlikely,
)

__all__ = [
    "TARGET_SAMPLER_LAWS",
    "diagnostics_are_in_range",
    "draws_follow_the_target",
    "target_draws_are_their_sequences_own",
    "target_draws_are_whole_and_scored",
    "target_draws_repeat",
    "what_is_ruled_out_is_told",
]

# Two tests: under 1e-6 that a right sampler is refused.
_FALSE_ALARM = 4e-7
_DRAWS = 400

# What a diagnostic of this name may be; the upper bound None where there is none.
_RANGES: dict[str, tuple[float, float | None]] = {
    "acceptance": (0, 1),
    "moved": (0, 1),
    "total_variation": (0, 1),
    "log_partition_error": (0, None),
    "r_hat": (0, None),
    "resamplings": (0, None),
    "missing": (0, None),
    "candidates": (1, None),
    "ancestors": (1, None),
}


def draws_follow_the_target(sampler: TargetSampler, examples: int = EXAMPLES) -> None:
    """With effort enough, what it draws cannot be told from the enumerated Gibbs distribution.

    A multinomial test of 400 draws with fixed seeds on two targets; together they refuse a right
    sampler with a probability under 1e-6. A sampler that is exact in a limit only is to be tried
    with enough effort that 400 draws cannot tell the difference.
    """
    for target, listed, probabilities in random_targets(source_of(sampler)):
        batch = listed.rollouts.batch.map(lambda values: values.expand(_DRAWS, *values.shape[1:]))
        batch = dataclasses.replace(batch, ids=torch.arange(_DRAWS))
        drawn = sampler.draw(target, batch, generator=torch.Generator().manual_seed(3))
        numbers = drawn_numbers(drawn.rollouts, listed)[:, 0]
        require(bool((numbers >= 0).all()), "a completion that cannot be drawn was drawn")
        counts = torch.bincount(numbers, minlength=len(listed))
        told = too_unlikely(counts, probabilities, _FALSE_ALARM)
        require(told is None, f"draws of {target.language_model}: {told}")


def target_draws_repeat(sampler: TargetSampler, examples: int = EXAMPLES) -> None:
    """The same generator state gives the same draws and diagnostics, another one gives others."""

    def holds(draw: Draw) -> None:
        case = draw(target_samplings(sampler), "case")
        first, second = case.draw(sampler), case.draw(sampler)
        _require_same(second, first, "drawn again")
        generator = torch.Generator().manual_seed(case.sampling.seed)
        before = generator.get_state()
        sampler.draw(case.target, case.batch, generator=generator)
        require(not torch.equal(generator.get_state(), before), "the generator was not used")

    for_all(holds, examples)


def target_draws_are_their_sequences_own(sampler: TargetSampler, examples: int = EXAMPLES) -> None:
    """Draws and diagnostics of a sequence depend on its id, not on padding or on neighbours."""

    def holds(draw: Draw) -> None:
        case = draw(target_samplings(sampler), "case")
        whole = case.draw(sampler)
        before = draw(st.integers(0, 2), "more padding before")
        wide = case.draw(sampler, padded(whole.rollouts, before, 2).batch)
        _require_same(wide, whole, "with more padding")
        for row in range(len(case.batch)):
            alone = case.draw(sampler, case.batch.rows(row, row + 1))
            own = TargetDraws(
                whole.rollouts.rows(row, row + 1),
                {name: value[row : row + 1] for name, value in whole.diagnostics.items()},
            )
            _require_same(alone, own, f"of sequence {row} alone")

    for_all(holds, examples)


def target_draws_are_whole_and_scored(sampler: TargetSampler, examples: int = EXAMPLES) -> None:
    """Draws end where they should, and record what the language model scores them with."""

    def holds(draw: Draw) -> None:
        case = draw(target_samplings(sampler), "case")
        rollouts = case.draw(sampler).rollouts
        mask = rollouts.token_mask()
        ends = torch.tensor(case.sampling.model.end_tokens, dtype=torch.long)
        ended = torch.isin(rollouts.completions, ends).long()
        expected = (ended.cumsum(-1) - ended == 0) & rollouts.anchor_mask[:, :, None, None]
        require_equal(mask.long(), expected.long(), "tokens that count (1) or not (0)", 0.0)
        scored = case.sampling.model.score(rollouts).completions
        recorded = rollouts.log_probs.to(scored.dtype)[mask]
        require_equal(recorded, scored[mask], "recorded log-probabilities, against scores")

    for_all(holds, examples)


def diagnostics_are_in_range(sampler: TargetSampler, examples: int = EXAMPLES) -> None:
    """Diagnostics are one number an anchor, and shares and counts are what such numbers can be."""

    def holds(draw: Draw) -> None:
        case = draw(target_samplings(sampler), "case")
        drawn = case.draw(sampler)
        valid = drawn.rollouts.anchor_mask
        samples = drawn.rollouts.samples
        for name, value in drawn.diagnostics.items():
            shape = tuple(value.shape)
            require(shape == tuple(valid.shape), f"{name} has shape {shape}")
            there = value[valid].double()
            low, high = _RANGES.get(name, (-torch.inf, None))
            if name in ("missing", "ruled_out"):
                low, high = 0, samples
            # A single chain has no scale reduction.
            known = there[~there.isnan()] if name == "r_hat" else there
            require(not bool(known.isnan().any()), f"{name} is not a number")
            above = torch.inf if high is None else high
            inside = (known >= low - 1e-9) & (known <= above + 1e-9)
            require(bool(inside.all()), f"{name} is {known.tolist()}, outside {low} to {above}")
        effective = drawn.diagnostics.get("effective_samples")
        if effective is not None:
            most = source_of(sampler).samples
            there = effective[valid].double()
            right = (there == 0) | ((there >= 1 - 1e-6) & (there <= most + 1e-6))
            require(bool(right.all()), f"effective_samples {there.tolist()} of {most} candidates")

    for_all(holds, examples)


def what_is_ruled_out_is_told(sampler: TargetSampler, examples: int = EXAMPLES) -> None:
    """Completions that the target rules out are counted, and there only where nothing else was."""

    def holds(draw: Draw) -> None:
        case = draw(target_samplings(sampler), "case")
        drawn = case.draw(sampler)
        valid = drawn.rollouts.anchor_mask
        density = case.target.log_density(drawn.rollouts)
        count = (density == -torch.inf).sum(-1).double()
        require("ruled_out" in drawn.diagnostics, "ruled_out is not among the diagnostics")
        told = drawn.diagnostics["ruled_out"].double()
        require_equal(told[valid], count[valid], "ruled_out, against completions of no density")
        excuses = {"effective_samples": lambda values: values == 0, "missing": lambda v: v > 0}
        for name, excuse in excuses.items():
            if name in drawn.diagnostics:
                wrong = (count > 0) & ~excuse(drawn.diagnostics[name]) & valid
                what = f"completions that are ruled out, and {name} does not tell of it"
                require(not bool(wrong.any()), what)

    for_all(holds, examples)


TARGET_SAMPLER_LAWS = (
    draws_follow_the_target,
    weighed_draws_follow_the_target,
    accepted_draws_follow_the_target,
    steps_keep_the_target,
    partition_is_unbiased,
    target_draws_repeat,
    target_draws_are_their_sequences_own,
    target_draws_are_whole_and_scored,
    diagnostics_are_in_range,
    what_is_ruled_out_is_told,
)
"""Every law of a target sampler."""


def _require_same(found: TargetDraws, expected: TargetDraws, when: str) -> None:
    """At valid anchors, of which there are as many in the same order."""

    def at(values: Tensor, rollouts: Rollouts) -> Tensor:
        return values[rollouts.anchor_mask]

    for name in ("completions", "log_probs"):
        pair = [at(getattr(drawn.rollouts, name), drawn.rollouts) for drawn in (found, expected)]
        require_equal(pair[0], pair[1], f"{name} {when}")
    for name, value in expected.diagnostics.items():
        pair = [at(found.diagnostics[name], found.rollouts), at(value, expected.rollouts)]
        require_equal(pair[0], pair[1], f"{name} {when}")
