"""The package's estimators."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from ebmlm.estimators import (
    RLOO,
    GroupNorm,
    LogVariance,
    Reinforce,
    TrajectoryBalance,
    mean_token_log_prob,
    sequence_log_prob,
)
from ebmlm.testing import bugs, checks, laws
from ebmlm.testing.catalogue.kind import Kind

__all__ = ["ESTIMATORS"]


def _free_energy(probabilities: Tensor, unary: Tensor, pairwise: Tensor | None = None) -> Tensor:
    """``E_p[u + log p]``: what balance with a target of energy u descends."""
    possible = torch.where(probabilities > 0, probabilities, 1)
    return (probabilities * (unary + possible.log())).sum()


ESTIMATORS = Kind(
    "estimators",
    laws.ESTIMATOR_LAWS,
    checks.check_estimator,
    {
        "RLOO": RLOO,
        "RLOO, token mean": partial(RLOO, mean_token_log_prob),
        "Reinforce": Reinforce,
        "Reinforce, baseline 2": partial(Reinforce, 2.0),
        "Reinforce, token mean": partial(Reinforce, credit=mean_token_log_prob),
        "LogVariance": LogVariance,
        "TrajectoryBalance": lambda: TrajectoryBalance(torch.tensor(0.7)),
        "GroupNorm": GroupNorm,
        "GroupNorm, sequence": partial(GroupNorm, sequence_log_prob),
    },
    bugs.ESTIMATOR_BUGS,
    options={name: {"functional": _free_energy} for name in ("LogVariance", "TrajectoryBalance")},
)
