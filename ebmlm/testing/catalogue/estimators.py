"""The package's estimators."""

from __future__ import annotations

from functools import partial

from ebmlm.estimators import RLOO, GroupNorm, Reinforce, mean_token_log_prob, sequence_log_prob
from ebmlm.testing import bugs, checks, laws
from ebmlm.testing.catalogue.kind import Kind

__all__ = ["ESTIMATORS"]


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
        "GroupNorm": GroupNorm,
        "GroupNorm, sequence": partial(GroupNorm, sequence_log_prob),
    },
    bugs.ESTIMATOR_BUGS,
)
