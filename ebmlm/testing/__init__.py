"""Oracles for testing objectives: a tabular language model and exact enumeration."""

from __future__ import annotations

from ebmlm.testing.divergences import (
    exact_divergence,
    exact_gibbs,
    forward_kl,
    jensen_shannon,
    reverse_kl,
    total_variation,
)
from ebmlm.testing.enumeration import (
    all_completions,
    exact_moment_distance,
    group_rollouts,
)
from ebmlm.testing.moments import GradientMoments, estimator_moments
from ebmlm.testing.tabular import TabularLanguageModel

__all__ = [
    "GradientMoments",
    "TabularLanguageModel",
    "all_completions",
    "estimator_moments",
    "exact_divergence",
    "exact_gibbs",
    "exact_moment_distance",
    "forward_kl",
    "group_rollouts",
    "jensen_shannon",
    "reverse_kl",
    "total_variation",
]
