"""The laws of an energy.

Each takes an :class:`~ebmlm.energies.base.Energy` and the number of token ids that it understands,
and raises where it breaks the law, with a smallest counterexample (docs/testing.md, "Laws").
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from hypothesis import strategies as st
from torch import Tensor

from ebmlm.energies.base import Energy, EnergyTerms
from ebmlm.rollouts import Rollouts
from ebmlm.testing.laws.cases import (
    at_valid,
    noise,
    orders,
    padded,
    permuted,
    scored_rollouts,
    scrambled,
)
from ebmlm.testing.laws.proof import EXAMPLES, Draw, for_all, require, require_equal
from ebmlm.testing.laws.support import supports

__all__ = [
    "ENERGY_LAWS",
    "adds_and_scales",
    "first_variation",
    "neighbours_move_no_energy",
    "padding_moves_no_energy",
    "pairs_are_symmetric",
    "permuting_samples_permutes_terms",
    "terms_are_finite",
    "terms_carry_no_gradient",
]


def first_variation(energy: Energy, examples: int = EXAMPLES, *, vocabulary: int = 3) -> None:
    """Its terms are the derivative of their functional in the policy's probabilities."""

    def holds(draw: Draw) -> None:
        support = draw(supports(vocabulary, max(2, energy.minimum_samples)), "support")
        variation = support.variation(energy)
        number = draw(st.integers(0, len(support.completions) - 1), "towards completion")
        direction = -support.probabilities.clone()
        direction[number] += 1
        found = variation @ direction
        expected = support.derivative(energy, direction)
        size = max(1.0, float(variation.abs().max()))
        precision = torch.finfo(variation.dtype).eps ** 0.5
        what = f"mean energy of completion {number} less the mean energy, against the derivative"
        require_equal(found, expected, what, 100 * precision * size)

    for_all(holds, examples)


def permuting_samples_permutes_terms(
    energy: Energy, examples: int = EXAMPLES, *, vocabulary: int = 3
) -> None:
    """Permuting the samples of an anchor permutes its terms."""

    def holds(draw: Draw) -> None:
        case = draw(scored_rollouts(vocabulary, max(2, energy.minimum_samples)), "case")
        order = draw(orders(case.rollouts.samples), "order")
        turned = case.scores.map(lambda values: values[:, :, order])
        expected = energy(case.rollouts, case.scores)
        found = energy(permuted(case.rollouts, order), turned)
        pairs = expected.pairwise
        expected = EnergyTerms(
            expected.unary[:, :, order],
            None if pairs is None else pairs[:, :, order][..., order],
            expected.metrics,
        )
        _require_same(found, expected, case.rollouts, "of permuted samples")

    for_all(holds, examples)


def pairs_are_symmetric(energy: Energy, examples: int = EXAMPLES, *, vocabulary: int = 3) -> None:
    """Pairwise terms are symmetric, and no sample is paired with itself."""

    def holds(draw: Draw) -> None:
        case = draw(scored_rollouts(vocabulary, max(2, energy.minimum_samples)), "case")
        pairs = energy(case.rollouts, case.scores).pairwise
        if pairs is None:
            return
        pairs = at_valid(pairs, case.rollouts)
        own = pairs.diagonal(dim1=-2, dim2=-1)
        require_equal(own, torch.zeros_like(own), "pairwise terms of samples with themselves", 0.0)
        require_equal(pairs, pairs.mT, "pairwise terms and their transpose")

    for_all(holds, examples)


def adds_and_scales(energy: Energy, examples: int = EXAMPLES, *, vocabulary: int = 3) -> None:
    """Sums and multiples of it have the sums and multiples of its terms, and need what it needs."""
    for other in (energy + energy, 2 * energy):
        require(other.needs_reference == energy.needs_reference, f"{other}: another reference")
        require(other.minimum_samples == energy.minimum_samples, f"{other}: other minimum_samples")
        require(other.bias == energy.bias, f"{other}: another bias")

    def holds(draw: Draw) -> None:
        case = draw(scored_rollouts(vocabulary, energy.minimum_samples), "case")
        factor = draw(st.sampled_from([2.0, 0.5, -1.0, 0.0]), "factor")
        terms = energy(case.rollouts, case.scores)
        found = (factor * energy + energy)(case.rollouts, case.scores)
        pairs = terms.pairwise
        total = EnergyTerms(
            (factor + 1) * terms.unary,
            None if pairs is None else (factor + 1) * pairs,
            terms.metrics,
        )
        _require_same(found, total, case.rollouts, f"of {factor} times itself plus itself")

    for_all(holds, examples)


def padding_moves_no_energy(
    energy: Energy, examples: int = EXAMPLES, *, vocabulary: int = 3
) -> None:
    """Padding, tokens after the end and invalid anchors change nothing, whatever stands there."""

    def holds(draw: Draw) -> None:
        case = draw(scored_rollouts(vocabulary, energy.minimum_samples), "case")
        mask = case.rollouts.token_mask()
        before = draw(st.integers(0, 2), "more padding before")
        after = draw(st.integers(0, 2), "more padding after")
        other = padded(scrambled(case.rollouts, 7, vocabulary), before, after, vocabulary - 1)
        replaced = noise(8, vocabulary)
        scores = case.scores.map(lambda values: torch.where(mask, values, replaced(values)))
        expected = energy(case.rollouts, case.scores)
        _require_same(energy(other, scores), expected, other, "with other padding")

    for_all(holds, examples)


def neighbours_move_no_energy(
    energy: Energy, examples: int = EXAMPLES, *, vocabulary: int = 3
) -> None:
    """The terms of a sequence do not depend on what else is in the batch."""

    def holds(draw: Draw) -> None:
        case = draw(scored_rollouts(vocabulary, energy.minimum_samples), "case")
        expected = energy(case.rollouts, case.scores)
        for row in range(len(case.rollouts.batch)):
            alone = case.rollouts.rows(row, row + 1)
            found = energy(alone, case.scores.map(_row(row)))
            pairs = expected.pairwise
            own = EnergyTerms(
                _row(row)(expected.unary),
                None if pairs is None else _row(row)(pairs),
                {name: _row(row)(value) for name, value in expected.metrics.items()},
            )
            _require_same(found, own, alone, f"of sequence {row} alone")

    for_all(holds, examples)


def terms_are_finite(energy: Energy, examples: int = EXAMPLES, *, vocabulary: int = 3) -> None:
    """Terms and metrics are finite at valid anchors, and of the shapes that they should have."""

    def holds(draw: Draw) -> None:
        case = draw(scored_rollouts(vocabulary, energy.minimum_samples), "case")
        terms = energy(case.rollouts, case.scores)
        shape = tuple(case.rollouts.completions.shape[:3])
        named: dict[str, tuple[Tensor, tuple[int, ...]]] = {"unary": (terms.unary, shape)}
        if terms.pairwise is not None:
            named["pairwise"] = (terms.pairwise, (*shape, shape[2]))
        for name, value in terms.metrics.items():
            named[f"metric {name}"] = (value, shape[:2])
        for name, (value, expected) in named.items():
            same = tuple(value.shape) == expected
            require(same, f"{name} has shape {tuple(value.shape)} instead of {expected}")
            finite = bool(at_valid(value, case.rollouts).isfinite().all())
            require(finite, f"{name} is not finite at a valid anchor")

    for_all(holds, examples)


def terms_carry_no_gradient(
    energy: Energy, examples: int = EXAMPLES, *, vocabulary: int = 3
) -> None:
    """Terms and metrics carry no gradient, whatever the energy is made of."""

    def holds(draw: Draw) -> None:
        case = draw(scored_rollouts(vocabulary, energy.minimum_samples), "case")
        with torch.enable_grad():
            terms = energy(case.rollouts, case.scores)
        named = {"unary": terms.unary, "pairwise": terms.pairwise, **terms.metrics}
        for name, value in named.items():
            clean = value is None or not value.requires_grad
            require(clean, f"{name} carries a gradient: compute it under torch.no_grad()")

    for_all(holds, examples)


ENERGY_LAWS = (
    first_variation,
    permuting_samples_permutes_terms,
    pairs_are_symmetric,
    adds_and_scales,
    padding_moves_no_energy,
    neighbours_move_no_energy,
    terms_are_finite,
    terms_carry_no_gradient,
)
"""Every law of an energy."""


def _row(row: int) -> Callable[[Tensor], Tensor]:
    return lambda values: values[row : row + 1]


def _require_same(found: EnergyTerms, expected: EnergyTerms, where: Rollouts, when: str) -> None:
    """At valid anchors."""
    require_equal(at_valid(found.unary, where), at_valid(expected.unary, where), f"unary {when}")
    paired = (found.pairwise is not None, expected.pairwise is not None)
    require(paired[0] == paired[1], f"pairwise terms {when}: there are, or are not, any")
    if found.pairwise is not None and expected.pairwise is not None:
        pairs = (at_valid(found.pairwise, where), at_valid(expected.pairwise, where))
        require_equal(*pairs, f"pairwise {when}")
    for name, value in expected.metrics.items():
        require_equal(
            at_valid(found.metrics[name], where), at_valid(value, where), f"{name} {when}"
        )
