"""The test kit: a tabular language model, exact enumeration, strategies, laws and checks.

``check_estimator(MyEstimator())`` is one line under pytest, or without it (docs/testing.md).
"""

from __future__ import annotations

from ebmlm.testing.bias import Bias, measure_bias
from ebmlm.testing.checks import (
    check_energy,
    check_estimator,
    check_feature_map,
    check_language_model,
    check_objective,
    check_sampler,
)
from ebmlm.testing.completions import Completions, conditional_log_probs, list_completions
from ebmlm.testing.divergences import (
    exact_divergence,
    exact_gibbs,
    forward_kl,
    jensen_shannon,
    reverse_kl,
    total_variation,
)
from ebmlm.testing.energies import TabularEnergy, exact_energies, expected_energy
from ebmlm.testing.enumeration import (
    all_completions,
    exact_moment_distance,
    group_rollouts,
)
from ebmlm.testing.laws.proof import LawViolation
from ebmlm.testing.moments import GradientMoments, estimator_moments
from ebmlm.testing.report import BrokenLaws, Finding, Outcome, Report
from ebmlm.testing.tabular import TabularLanguageModel
from ebmlm.testing.target_checks import check_partition, check_proposal, check_target_sampler
from ebmlm.testing.tiny import tiny_transformer

__all__ = [
    "Bias",
    "BrokenLaws",
    "Completions",
    "Finding",
    "GradientMoments",
    "LawViolation",
    "Outcome",
    "Report",
    "TabularEnergy",
    "TabularLanguageModel",
    "all_completions",
    "check_energy",
    "check_estimator",
    "check_feature_map",
    "check_language_model",
    "check_objective",
    "check_partition",
    "check_proposal",
    "check_sampler",
    "check_target_sampler",
    "conditional_log_probs",
    "estimator_moments",
    "exact_divergence",
    "exact_energies",
    "exact_gibbs",
    "exact_moment_distance",
    "expected_energy",
    "forward_kl",
    "group_rollouts",
    "jensen_shannon",
    "list_completions",
    "measure_bias",
    "reverse_kl",
    "tiny_transformer",
    "total_variation",
]
