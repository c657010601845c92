"""A composable energy-based modelling toolkit for language models.

Four kinds of part answer four questions: a ``Sampler`` says which sequences we look at, a
``FeatureMap`` what we see in them, an ``Energy`` how bad each is, and an ``Estimator`` how that
moves the parameters. An ``Objective`` puts them together.
"""

from __future__ import annotations

from typing import Any

from ebmlm.distribution import Categorical, Greedy, TokenDistribution
from ebmlm.energies import (
    Energy,
    EnergyTerms,
    FeatureMatchingEnergy,
    FunctionEnergy,
    KLEnergy,
)
from ebmlm.errors import UserError
from ebmlm.estimators import RLOO, Estimate, Estimator, GroupNorm, Reinforce
from ebmlm.features import FeatureMap, Features, HiddenStateFeatures
from ebmlm.language_model import LanguageModel
from ebmlm.objectives import CrossEntropy, Objective, PolicyObjective
from ebmlm.rollouts import Rollouts, Scores, SequenceBatch
from ebmlm.samplers import BlockParallelSampler, Sampler, StridedAnchors
from ebmlm.transformers_model import TransformersLanguageModel

__all__ = [
    "RLOO",
    "BlockParallelSampler",
    "Categorical",
    "CrossEntropy",
    "Energy",
    "EnergyTerms",
    "Estimate",
    "Estimator",
    "FeatureMap",
    "FeatureMatchingEnergy",
    "Features",
    "FunctionEnergy",
    "Greedy",
    "GroupNorm",
    "HiddenStateFeatures",
    "KLEnergy",
    "LanguageModel",
    "Objective",
    "PolicyObjective",
    "Reinforce",
    "Rollouts",
    "Sampler",
    "Scores",
    "SequenceBatch",
    "StridedAnchors",
    "TokenDistribution",
    "TransformersLanguageModel",
    "UserError",
    "load",
]


def load(name: str = "smollm2-135m") -> tuple[TransformersLanguageModel, Any]:
    """Return a language model and its tokeniser by name.

    Args:
        name: a packaged model (``smollm2-135m``), a model folder, or a Hugging Face id.

    Raises:
        UserError: where it cannot be found, read, or take the prefix tree; see
            :func:`ebmlm.models.load_pretrained`.
    """
    from ebmlm.models import load_pretrained

    model, tokeniser = load_pretrained(name)
    return TransformersLanguageModel(model), tokeniser
