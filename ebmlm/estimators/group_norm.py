"""Group-normalised advantages, as in GRPO (Shao et al. 2024)."""

from __future__ import annotations

import torch

from ebmlm.energies.base import EnergyTerms
from ebmlm.errors import UserError
from ebmlm.estimators.base import (
    Credit,
    Estimate,
    Estimator,
    mean_token_log_prob,
    policy_gradient,
)
from ebmlm.rollouts import Rollouts
from ebmlm.typing import BatchAnchorSampleToken

__all__ = ["GroupNorm"]


class GroupNorm(Estimator):
    """Energies less their group's mean, divided by the group's standard deviation. Biased.

    Mean and deviation contain the sample they are applied to, and dividing by the deviation weighs
    anchors by how little their rollouts differ. Kept as the rival that people know.

    Args:
        credit: how a rollout's token log-probabilities are added up.
        epsilon: added to the standard deviation.

    Raises:
        UserError: for an epsilon that is not positive; when called, for fewer than two samples.
    """

    minimum_samples = 2

    def __init__(self, credit: Credit = mean_token_log_prob, epsilon: float = 1e-4) -> None:
        if not epsilon > 0:
            raise UserError(f"epsilon is {epsilon}: it must be above 0")
        self.credit = credit
        self.epsilon = epsilon

    @property
    def bias(self) -> str | None:
        """Always."""
        return "mean and deviation contain the sample that they are applied to"

    def __call__(
        self, log_probs: BatchAnchorSampleToken, terms: EnergyTerms, rollouts: Rollouts
    ) -> Estimate:
        """See :meth:`Estimator.__call__`."""
        if terms.samples < 2:
            raise UserError(
                f"{terms.samples} sample per anchor: group normalisation needs at least 2;"
                " draw more, or use Reinforce()"
            )
        with torch.no_grad():
            energies = terms.per_sample()
            centred = energies - energies.mean(-1, keepdim=True)
            advantages = centred / (energies.std(-1, keepdim=True) + self.epsilon)
        return policy_gradient(log_probs, advantages, rollouts, self.credit)
