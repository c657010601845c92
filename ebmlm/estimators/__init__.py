"""Estimators: how does an energy move the parameters?"""

from __future__ import annotations

from ebmlm.estimators.base import (
    Estimate,
    Estimator,
    credit_bias,
    mean_over_anchors,
    mean_token_log_prob,
    policy_gradient,
    sequence_log_prob,
)
from ebmlm.estimators.contrastive import (
    BinaryNCE,
    Contrast,
    Contrasted,
    ContrastiveLoss,
    EnergyMagnitude,
    PhaseDifference,
    RankingNCE,
)
from ebmlm.estimators.group_norm import GroupNorm
from ebmlm.estimators.log_variance import LogVariance, TrajectoryBalance
from ebmlm.estimators.reinforce import Reinforce
from ebmlm.estimators.rloo import RLOO, leave_one_out_baseline

__all__ = [
    "RLOO",
    "BinaryNCE",
    "Contrast",
    "Contrasted",
    "ContrastiveLoss",
    "EnergyMagnitude",
    "Estimate",
    "Estimator",
    "GroupNorm",
    "LogVariance",
    "PhaseDifference",
    "RankingNCE",
    "Reinforce",
    "TrajectoryBalance",
    "credit_bias",
    "leave_one_out_baseline",
    "mean_over_anchors",
    "mean_token_log_prob",
    "policy_gradient",
    "sequence_log_prob",
]
