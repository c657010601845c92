"""A composable energy-based modelling toolkit for language models.

Four kinds of part answer four questions: a ``Sampler`` says which sequences we look at, a
``FeatureMap`` what we see in them, an ``Energy`` how bad each is, and an ``Estimator`` how that
moves the parameters. An ``Objective`` puts them together.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from ebmlm.samplers import (
        AutoregressiveSampler,
        BlockParallelSampler,
        Sampler,
        StridedAnchors,
    )
    from ebmlm.transformers_model import TransformersLanguageModel

__all__ = [
    "RLOO",
    "AutoregressiveSampler",
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

# Where each name lives; torch is imported when the first is asked for, so that the command line
# answers at once and can set up torch's threads first.
_HOMES = {
    "ebmlm.distribution": ("Categorical", "Greedy", "TokenDistribution"),
    "ebmlm.energies": (
        "Energy",
        "EnergyTerms",
        "FeatureMatchingEnergy",
        "FunctionEnergy",
        "KLEnergy",
    ),
    "ebmlm.errors": ("UserError",),
    "ebmlm.estimators": ("RLOO", "Estimate", "Estimator", "GroupNorm", "Reinforce"),
    "ebmlm.features": ("FeatureMap", "Features", "HiddenStateFeatures"),
    "ebmlm.language_model": ("LanguageModel",),
    "ebmlm.objectives": ("CrossEntropy", "Objective", "PolicyObjective"),
    "ebmlm.rollouts": ("Rollouts", "Scores", "SequenceBatch"),
    "ebmlm.samplers": (
        "AutoregressiveSampler",
        "BlockParallelSampler",
        "Sampler",
        "StridedAnchors",
    ),
    "ebmlm.transformers_model": ("TransformersLanguageModel",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'ebmlm' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def load(name: str = "smollm2-135m") -> tuple[TransformersLanguageModel, Any]:
    """Return a language model and its tokeniser by name.

    Args:
        name: a packaged model (``smollm2-135m``), a model folder, or a Hugging Face id.

    Raises:
        UserError: where it cannot be found, read, or take the prefix tree; see
            :func:`ebmlm.models.load_pretrained`.
    """
    from ebmlm.models import load_pretrained
    from ebmlm.transformers_model import TransformersLanguageModel

    model, tokeniser = load_pretrained(name)
    return TransformersLanguageModel(model), tokeniser
