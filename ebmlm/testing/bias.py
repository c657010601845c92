"""How biased an estimator is, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ebmlm.estimators.base import Estimator
from ebmlm.testing.energies import expected_energy
from ebmlm.testing.laws.exact_cases import Functional, fixed_worlds

__all__ = ["Bias", "measure_bias"]

_ROUNDING = 1e-10


@dataclass(frozen=True)
class Bias:
    """An expected gradient against the exact one, the worst of a few fixed small worlds.

    Attributes:
        relative: length of the difference over the length of the exact gradient.
        angle: one less the cosine between the two; 0 where only the length is wrong.
    """

    relative: float
    angle: float

    def __str__(self) -> str:
        if self.relative < _ROUNDING:
            return "exact to rounding"
        return f"off by {self.relative:.2g} of its length, 1 - cosine {self.angle:.2g}"


def measure_bias(estimator: Estimator, functional: Functional = expected_energy) -> Bias:
    """Measure the exact bias of an estimator's gradient in a few fixed worlds of three tokens.

    Groups are as small as the estimator allows, at least two, and one larger: a bias may grow or
    shrink with them.

    Args:
        estimator: any.
        functional: what it should descend; the expected energy unless given.
    """
    relative, angle = 0.0, 0.0
    fewest = max(2, estimator.minimum_samples)
    for world in (*fixed_worlds(fewest), *fixed_worlds(fewest + 1)):
        exact = world.gradient(functional).flatten()
        mean = world.moments(estimator).mean.flatten()
        relative = max(relative, float((mean - exact).norm() / exact.norm()))
        cosine = torch.nn.functional.cosine_similarity(mean, exact, dim=0)
        angle = max(angle, 1 - float(cosine))
    return Bias(relative, max(angle, 0.0))
