"""Estimators that move the parameters wrongly."""

from __future__ import annotations

from torch import Tensor

from ebmlm.energies.base import EnergyTerms
from ebmlm.estimators.base import (
    Estimate,
    Estimator,
    mean_over_anchors,
    policy_gradient,
    sequence_log_prob,
)
from ebmlm.rollouts import Rollouts
from ebmlm.testing.bugs.bug import Bug
from ebmlm.testing.laws.estimator import (
    anchors_do_not_mix,
    baseline_excludes_its_own_sample,
    gradient_flows_through_log_probs_only,
    loss_is_finite,
    loss_of_pieces_adds_up,
    no_credit_after_the_end,
)
from ebmlm.testing.laws.expectation import unbiased
from ebmlm.typing import BatchAnchorSampleToken

__all__ = [
    "ESTIMATOR_BUGS",
    "AnchorMeanOverAll",
    "BatchBaseline",
    "CreditAfterTheEnd",
    "GroupMeanBaseline",
    "LiveAdvantages",
    "NaiveLeaveOneOut",
    "TransposedAdvantages",
    "UnguardedDeviation",
]


class TransposedAdvantages(Estimator):
    """Spreads advantages over tokens in another order than the log-probabilities have."""

    def __call__(
        self, log_probs: BatchAnchorSampleToken, terms: EnergyTerms, rollouts: Rollouts
    ) -> Estimate:
        """See :meth:`Estimator.__call__`."""
        tokens = log_probs.shape[-1]
        spread = terms.per_sample().flatten(1).repeat(1, tokens).view(log_probs.shape)
        pushed = sequence_log_prob(spread.detach() * log_probs, rollouts.token_mask())
        return Estimate(mean_over_anchors(pushed.mean(-1), rollouts.anchor_mask))


class NaiveLeaveOneOut(Estimator):
    """Takes the mean of the other samples' energies, whose pairs contain the sample itself."""

    minimum_samples = 2

    def __call__(
        self, log_probs: BatchAnchorSampleToken, terms: EnergyTerms, rollouts: Rollouts
    ) -> Estimate:
        """See :meth:`Estimator.__call__`."""
        energies = terms.per_sample()
        others = (energies.sum(-1, keepdim=True) - energies) / (terms.samples - 1)
        return policy_gradient(log_probs, energies - others, rollouts, sequence_log_prob)


class GroupMeanBaseline(Estimator):
    """Takes the mean of all samples' energies as baseline, the sample's own among them."""

    minimum_samples = 2

    def __call__(
        self, log_probs: BatchAnchorSampleToken, terms: EnergyTerms, rollouts: Rollouts
    ) -> Estimate:
        """See :meth:`Estimator.__call__`."""
        energies = terms.per_sample()
        centred = energies - energies.mean(-1, keepdim=True)
        return policy_gradient(log_probs, centred, rollouts, sequence_log_prob)


class BatchBaseline(Estimator):
    """Takes one baseline for the whole batch, so that anchors pay for each other."""

    def __call__(
        self, log_probs: BatchAnchorSampleToken, terms: EnergyTerms, rollouts: Rollouts
    ) -> Estimate:
        """See :meth:`Estimator.__call__`."""
        energies = terms.per_sample()
        baseline = mean_over_anchors(energies.mean(-1), rollouts.anchor_mask)
        return policy_gradient(log_probs, energies - baseline, rollouts, sequence_log_prob)


class CreditAfterTheEnd(Estimator):
    """Adds up log-probabilities over the whole horizon, past the end of the rollout."""

    def __call__(
        self, log_probs: BatchAnchorSampleToken, terms: EnergyTerms, rollouts: Rollouts
    ) -> Estimate:
        """See :meth:`Estimator.__call__`."""
        return policy_gradient(log_probs, terms.per_sample(), rollouts, _whole_horizon)


class AnchorMeanOverAll(Estimator):
    """Divides by the number of all anchors, invalid ones too: by how much was padded."""

    def __call__(
        self, log_probs: BatchAnchorSampleToken, terms: EnergyTerms, rollouts: Rollouts
    ) -> Estimate:
        """See :meth:`Estimator.__call__`."""
        estimate = policy_gradient(log_probs, terms.per_sample(), rollouts, sequence_log_prob)
        share = rollouts.anchor_mask.double().mean().clamp(min=1e-9)
        return Estimate(estimate.loss * share, estimate.metrics)


class LiveAdvantages(Estimator):
    """Forgets to detach the energies, so that the gradient flows into what judged."""

    def __call__(
        self, log_probs: BatchAnchorSampleToken, terms: EnergyTerms, rollouts: Rollouts
    ) -> Estimate:
        """See :meth:`Estimator.__call__`."""
        pushed = terms.per_sample() * sequence_log_prob(log_probs, rollouts.token_mask())
        return Estimate(mean_over_anchors(pushed.mean(-1), rollouts.anchor_mask))


class UnguardedDeviation(Estimator):
    """Divides by the group's standard deviation, which is zero where all rollouts are alike."""

    minimum_samples = 2

    @property
    def bias(self) -> str | None:
        """Declared."""
        return "divides by the group's deviation"

    def __call__(
        self, log_probs: BatchAnchorSampleToken, terms: EnergyTerms, rollouts: Rollouts
    ) -> Estimate:
        """See :meth:`Estimator.__call__`."""
        energies = terms.per_sample()
        centred = energies - energies.mean(-1, keepdim=True)
        scaled = centred / energies.std(-1, keepdim=True)
        return policy_gradient(log_probs, scaled, rollouts, sequence_log_prob)


def _whole_horizon(log_probs: Tensor, mask: Tensor) -> Tensor:
    return log_probs.sum(-1)


ESTIMATOR_BUGS = (
    Bug("advantages in transposed order", TransposedAdvantages, anchors_do_not_mix),
    Bug("naive leave-one-out over pairs", NaiveLeaveOneOut, baseline_excludes_its_own_sample),
    Bug("own sample in the baseline", GroupMeanBaseline, unbiased),
    Bug("one baseline for the batch", BatchBaseline, anchors_do_not_mix),
    Bug("credit after the end", CreditAfterTheEnd, no_credit_after_the_end),
    Bug("mean over invalid anchors", AnchorMeanOverAll, loss_of_pieces_adds_up),
    Bug("advantages not detached", LiveAdvantages, gradient_flows_through_log_probs_only),
    Bug("deviation of equal energies", UnguardedDeviation, loss_is_finite),
)
"""Every wrong estimator."""
