"""The laws of an estimator's expected gradient: exact, over every group of rollouts."""

from __future__ import annotations

from torch import Tensor

from ebmlm.estimators.base import Estimator
from ebmlm.testing.energies import expected_energy
from ebmlm.testing.laws.exact_cases import Functional, worlds
from ebmlm.testing.laws.proof import EXAMPLES, Draw, for_all, require_equal

__all__ = ["constants_vanish_in_expectation", "unbiased"]

_EXACT = 1e-10


def unbiased(
    estimator: Estimator, examples: int = EXAMPLES, *, functional: Functional = expected_energy
) -> None:
    """Its expected gradient over all groups of rollouts is that of the functional, to 1e-10."""

    def holds(draw: Draw) -> None:
        world = draw(worlds(estimator.minimum_samples, estimator.takes_pairs), "world")
        expected = world.gradient(functional)
        found = world.moments(estimator).mean
        require_equal(found, expected, "expected gradient", _EXACT * _size(expected))

    for_all(holds, examples)


def constants_vanish_in_expectation(estimator: Estimator, examples: int = EXAMPLES) -> None:
    """A constant added to all energies does not move the expected gradient."""

    def holds(draw: Draw) -> None:
        world = draw(worlds(estimator.minimum_samples, estimator.takes_pairs), "world")
        expected = world.moments(estimator).mean
        found = world.moments(estimator, constant=3.0).mean
        what = "expected gradient with 3 added to all energies"
        require_equal(found, expected, what, _EXACT * _size(expected))

    for_all(holds, examples)


def _size(gradient: Tensor) -> float:
    return max(1.0, float(gradient.detach().abs().max()))
