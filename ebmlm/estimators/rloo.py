"""REINFORCE with a leave-one-out baseline, pairwise terms included.

Kool, van Hoof and Welling 2019 for unary energies; Jelassi et al. 2026, appendix E, for the
pairwise ones; docs/mathematics.md, eq. 7.
"""

from __future__ import annotations

import torch

from ebmlm.energies.base import EnergyTerms
from ebmlm.errors import UserError
from ebmlm.estimators.base import (
    Credit,
    Estimate,
    Estimator,
    credit_bias,
    policy_gradient,
    sequence_log_prob,
)
from ebmlm.rollouts import Rollouts
from ebmlm.typing import BatchAnchorSample, BatchAnchorSampleToken

__all__ = ["RLOO", "leave_one_out_baseline"]


def leave_one_out_baseline(terms: EnergyTerms) -> BatchAnchorSample:
    """Baseline (batch, anchor, sample) of each sample that does not contain it.

    ``b_j = 1/(N-1) sum_{i != j} [ u_i + 1/(N-2) sum_{k not in {i, j}} w_ik ]``. The other samples'
    energies contain sample j through the pairwise terms, so j is left out twice; their plain mean
    would bias the gradient. With two samples the pairwise part is zero.

    Raises:
        UserError: for fewer than two samples.
    """
    samples = terms.samples
    if samples < 2:
        raise UserError(
            f"{samples} sample per anchor: a leave-one-out baseline needs at least 2;"
            " draw more, or use Reinforce()"
        )
    baseline = (terms.unary.sum(-1, keepdim=True) - terms.unary) / (samples - 1)
    if terms.pairwise is None or samples == 2:
        return baseline
    rows = terms.pairwise.sum(-1)
    # Over all ordered pairs, less those in which j comes first, and those in which it comes second.
    without = rows.sum(-1, keepdim=True) - 2 * rows
    return baseline + without / ((samples - 1) * (samples - 2))


class RLOO(Estimator):
    """Each rollout's energy less the leave-one-out baseline: unbiased, the method's default.

    Args:
        credit: how a rollout's token log-probabilities are added up: :func:`sequence_log_prob`
            (exact) or :func:`mean_token_log_prob` (the paper's code).
    """

    minimum_samples = 2

    def __init__(self, credit: Credit = sequence_log_prob) -> None:
        self.credit = credit

    @property
    def bias(self) -> str | None:
        """None with sequence credit."""
        return credit_bias(self.credit)

    def __call__(
        self, log_probs: BatchAnchorSampleToken, terms: EnergyTerms, rollouts: Rollouts
    ) -> Estimate:
        """See :meth:`Estimator.__call__`.

        Raises:
            UserError: for fewer than two samples.
        """
        with torch.no_grad():
            advantages = terms.per_sample() - leave_one_out_baseline(terms)
        return policy_gradient(log_probs, advantages, rollouts, self.credit)
