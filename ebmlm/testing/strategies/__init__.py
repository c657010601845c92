"""Hypothesis strategies: small inputs of every awkward kind, which shrink to readable ones."""

from __future__ import annotations

from ebmlm.testing.strategies.configurations import (
    distributions,
    ebft_options,
    estimators,
    poolings,
    whitenings,
)
from ebmlm.testing.strategies.features import feature_vectors, features
from ebmlm.testing.strategies.models import tabular_models
from ebmlm.testing.strategies.numbers import modest_numbers, tensors, wild_numbers
from ebmlm.testing.strategies.rollouts import continuations, rollouts, token_log_probs
from ebmlm.testing.strategies.terms import energy_terms
from ebmlm.testing.strategies.texts import (
    anchors,
    batches,
    prompts,
    single_texts,
    texts_of_length,
)

__all__ = [
    "anchors",
    "batches",
    "continuations",
    "distributions",
    "ebft_options",
    "energy_terms",
    "estimators",
    "feature_vectors",
    "features",
    "modest_numbers",
    "poolings",
    "prompts",
    "rollouts",
    "single_texts",
    "tabular_models",
    "tensors",
    "texts_of_length",
    "token_log_probs",
    "whitenings",
    "wild_numbers",
]
