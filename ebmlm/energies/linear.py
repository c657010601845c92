"""An energy that is linear in features: what moments are met with."""

from __future__ import annotations

import torch

from ebmlm.energies.base import Energy, EnergyTerms
from ebmlm.errors import UserError
from ebmlm.features.base import FeatureMap
from ebmlm.rollouts import Rollouts, Scores
from ebmlm.typing import Row

__all__ = ["LinearEnergy"]


class LinearEnergy(Energy):
    """``-coefficients . phi(c, y)``: exponential tilting by features.

    ``EnergyModel(p, LinearEnergy(features, coefficients))`` is the exponential family through p.

    Args:
        features: of completions.
        coefficients: (feature,), in nats a unit of the feature.

    Raises:
        UserError: where features and coefficients are not equally many, or one is not finite.
    """

    def __init__(self, features: FeatureMap, coefficients: Row) -> None:
        if features.width is not None and features.width != len(coefficients):
            raise UserError(
                f"{len(coefficients)} coefficients for {features.width} features: give one for each"
            )
        if not coefficients.isfinite().all():
            raise UserError("a coefficient is not finite")
        self.features = features
        self.coefficients = coefficients

    @torch.no_grad()
    def __call__(self, rollouts: Rollouts, scores: Scores) -> EnergyTerms:
        """See :meth:`Energy.__call__`."""
        features = self.features(rollouts).rollouts
        unary = -(features @ self.coefficients.to(features))
        return EnergyTerms(unary, metrics={"linear_energy": unary.mean(-1)})
