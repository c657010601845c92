"""The log-variance divergence from a target, on or off policy.

Richter et al. 2020; as trajectory balance with the partition function estimated from the group:
Malkin et al. 2022, Zhang et al. 2023 (docs/mathematics.md, "Towards a target").
"""

from __future__ import annotations

import torch
from torch import Tensor

from ebmlm.energies.base import EnergyTerms
from ebmlm.errors import UserError
from ebmlm.estimators.base import Estimate, Estimator, mean_over_anchors, sequence_log_prob
from ebmlm.rollouts import Rollouts
from ebmlm.typing import BatchAnchorSampleToken

__all__ = ["LogVariance", "TrajectoryBalance"]


class LogVariance(Estimator):
    """Half the variance, over a context's samples, of ``log p(y) + u(y)``.

    With the unary energy ``u = -log a`` of a target (:class:`~ebmlm.targets.TargetEnergy`)
    it is zero exactly where the policy is the target, whatever the samples were drawn from. Drawn
    from the policy, its expected gradient is that of the reverse KL divergence, ``E_p[u + log p]``.

    Raises:
        UserError: when called, for pairwise terms.
    """

    minimum_samples = 2
    off_policy = True
    takes_pairs = False

    def __call__(
        self, log_probs: BatchAnchorSampleToken, terms: EnergyTerms, rollouts: Rollouts
    ) -> Estimate:
        """See :meth:`Estimator.__call__`."""
        gap = _gap(log_probs, terms, rollouts)
        samples = gap.shape[-1]
        if samples < 2:
            raise UserError(f"{samples} sample per anchor: a variance needs at least 2")
        centred = gap - gap.mean(-1, keepdim=True)
        variance = centred.square().sum(-1) / (samples - 1)
        loss = mean_over_anchors(variance / 2, rollouts.anchor_mask)
        return Estimate(loss, {"log_variance": 2 * loss.detach()})


class TrajectoryBalance(Estimator):
    """Half the mean square of ``log Z + log p(y) + u(y)``, with log Z given (Malkin et al. 2022).

    Args:
        log_partition: in nats; a parameter of its own, to be trained with the policy, or a number
            that is known.
    """

    off_policy = True
    takes_pairs = False

    def __init__(self, log_partition: Tensor) -> None:
        self.log_partition = log_partition

    def __call__(
        self, log_probs: BatchAnchorSampleToken, terms: EnergyTerms, rollouts: Rollouts
    ) -> Estimate:
        """See :meth:`Estimator.__call__`."""
        gap = _gap(log_probs, terms, rollouts) + self.log_partition
        loss = mean_over_anchors(gap.square().mean(-1) / 2, rollouts.anchor_mask)
        return Estimate(loss, {"balance_square": 2 * loss.detach()})


def _gap(log_probs: Tensor, terms: EnergyTerms, rollouts: Rollouts) -> Tensor:
    """``log p(y) + u(y)`` (batch, anchor, sample), with gradient; zero at invalid anchors."""
    if terms.pairwise is not None:
        raise UserError(
            "pairwise terms: balance with a target needs an energy of each completion alone"
            " (TargetEnergy)"
        )
    gap = sequence_log_prob(log_probs, rollouts.completion_mask) + terms.unary.detach()
    return torch.where(rollouts.anchor_mask.unsqueeze(-1), gap, 0)
