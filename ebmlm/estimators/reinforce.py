"""REINFORCE: the plain score-function estimator (Williams 1992)."""

from __future__ import annotations

from ebmlm.energies.base import EnergyTerms
from ebmlm.estimators.base import (
    Credit,
    Estimate,
    Estimator,
    credit_bias,
    policy_gradient,
    sequence_log_prob,
)
from ebmlm.rollouts import Rollouts
from ebmlm.typing import BatchAnchorSampleToken

__all__ = ["Reinforce"]


class Reinforce(Estimator):
    """Each rollout's energy less one constant baseline: unbiased, with the largest variance.

    Args:
        baseline: subtracted from every energy.
        credit: how a rollout's token log-probabilities are added up.
    """

    def __init__(self, baseline: float = 0.0, credit: Credit = sequence_log_prob) -> None:
        self.baseline = baseline
        self.credit = credit

    @property
    def bias(self) -> str | None:
        """None with sequence credit."""
        return credit_bias(self.credit)

    def __call__(
        self, log_probs: BatchAnchorSampleToken, terms: EnergyTerms, rollouts: Rollouts
    ) -> Estimate:
        """See :meth:`Estimator.__call__`."""
        return policy_gradient(log_probs, terms.per_sample() - self.baseline, rollouts, self.credit)
