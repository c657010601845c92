"""Kullback-Leibler divergence from a frozen reference, as an energy and as measurements.

As an energy, ``log p(y) - log p_ref(y)`` is the first variation of KL(p || p_ref): the policy
gradient of it is the exact gradient (docs/mathematics.md, eq. 6). The estimators k1, k2 and k3
(Schulman 2020, "Approximating KL divergence") are for reporting.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ebmlm.energies.base import Energy, EnergyTerms
from ebmlm.rollouts import Rollouts, Scores

__all__ = ["KLEnergy", "k1", "k2", "k3"]


def k1(log_ratio: Tensor) -> Tensor:
    """``log p/q`` of draws from p: unbiased for KL(p || q) in nats, of either sign."""
    return log_ratio


def k2(log_ratio: Tensor) -> Tensor:
    """``(log p/q)^2 / 2`` of draws from p: biased, never negative, low variance, nats."""
    return log_ratio.square() / 2


def k3(log_ratio: Tensor) -> Tensor:
    """``q/p - 1 + log p/q`` of draws from p: unbiased for KL(p || q) in nats, never negative."""
    return torch.expm1(-log_ratio) + log_ratio


class KLEnergy(Energy):
    """``log p(y) - log p_ref(y)`` in nats, summed over a rollout's tokens.

    Added with a coefficient beta to another energy it regularises towards the reference. Reports
    ``kl``: k3 of each token, summed over the rollout, in nats.
    """

    @property
    def needs_reference(self) -> bool:
        """Always."""
        return True

    @torch.no_grad()
    def __call__(self, rollouts: Rollouts, scores: Scores) -> EnergyTerms:
        """See :meth:`Energy.__call__`.

        Raises:
            ValueError: if the scores have no reference.
        """
        if scores.reference is None:
            raise ValueError("the KL energy needs scores of a reference model")
        gap = torch.where(rollouts.token_mask(), scores.policy - scores.reference, 0)
        return EnergyTerms(gap.sum(-1), metrics={"kl": k3(gap).sum(-1).mean(-1)})
