"""What an estimator makes of energies, rollout by rollout."""

from __future__ import annotations

import torch

from ebmlm.energies.base import EnergyTerms
from ebmlm.estimators.base import Estimator, sequence_log_prob
from ebmlm.rollouts import Rollouts
from ebmlm.typing import BatchAnchorSample, BatchAnchorSampleToken

__all__ = ["advantages_of"]


def advantages_of(
    estimator: Estimator,
    log_probs: BatchAnchorSampleToken,
    terms: EnergyTerms,
    rollouts: Rollouts,
) -> BatchAnchorSample:
    """Return the advantage of each rollout, in the reward's units: positive makes it likelier.

    An estimator returns a loss and keeps its advantages to itself, so they are read off the loss:
    minus its slope along a rollout's log-probability, times what the mean over rollouts and valid
    anchors divided it by. Where the estimator has a ``credit``, the slope is along that credit, so
    that advantages compare whatever the credit. For REINFORCE with a baseline this is the reward
    less the baseline.

    Args:
        estimator: any.
        log_probs: of the rollouts' tokens under the policy, in nats.
        terms: the rollouts' energies.
        rollouts: what was drawn.
    """
    credit = getattr(estimator, "credit", sequence_log_prob)
    mask = rollouts.token_mask()
    with torch.enable_grad():
        leaf = log_probs.detach().clone().requires_grad_(True)
        loss = estimator(leaf, terms, rollouts).loss
        (slope,) = torch.autograd.grad(loss, leaf)
    along = torch.where(mask, slope, 0).sum(-1)
    unit = credit(torch.ones_like(slope), mask)
    means = rollouts.samples * rollouts.anchor_mask.sum()
    return torch.where(unit > 0, -along * means / unit.clamp(min=1), 0)
