"""Energies by the policy and the run's texts, so that a configuration file can name them.

Each takes the policy as it is now and the run's texts first, and options by keyword; those that are
made of other energies or of features take recipes for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch

from ebmlm.energies.base import Energy, SumEnergy
from ebmlm.energies.constraint import ConstraintEnergy
from ebmlm.energies.expert import ExpertEnergy
from ebmlm.energies.linear import LinearEnergy
from ebmlm.energies.residual import ResidualEnergy
from ebmlm.energies.verifier import VerifierEnergy
from ebmlm.errors import UserError
from ebmlm.language_model import LanguageModel
from ebmlm.objectives.feature_recipes import FeatureRecipe
from ebmlm.objectives.representation_recipes import RepresentationRecipe, made_representation
from ebmlm.texts import Attempt, Texts
from ebmlm.verifiers.base import Verifier

__all__ = ["EnergyRecipe", "constraint", "expert", "linear", "product", "residual", "verified"]

EnergyRecipe: TypeAlias = Callable[[LanguageModel, Texts], Energy]
"""Makes an energy for a policy and the texts of a run."""


def linear(
    model: LanguageModel,
    texts: Texts,
    *,
    features: FeatureRecipe,
    coefficients: list[float],
) -> LinearEnergy:
    """Minus a weighted sum of features: see :func:`~ebmlm.targets.moments.fit_moments`.

    Args:
        model: the policy.
        texts: of the run.
        features: what is weighed.
        coefficients: one for each feature, in nats a unit of it.
    """
    return LinearEnergy(features(model, texts), torch.tensor(coefficients, dtype=torch.float64))


def verified(
    model: LanguageModel, texts: Texts, *, verifier: Verifier, weight: float = 1.0
) -> Energy:
    """Minus a verifier's score.

    Args:
        model: not looked at.
        texts: of the run.
        verifier: scores completions.
        weight: what a score of one is worth, in nats at temperature one.
    """
    return weight * VerifierEnergy(verifier, texts)


def constraint(model: LanguageModel, texts: Texts, *, verifier: Verifier) -> ConstraintEnergy:
    """Infinite where a verifier does not count a completion as solved.

    Args:
        model: not looked at.
        texts: of the run.
        verifier: whose ``solved_from`` decides.
    """

    def holds(attempt: Attempt) -> bool:
        return verifier([attempt])[0] >= verifier.solved_from

    return ConstraintEnergy(holds, texts)


def expert(
    model: LanguageModel, texts: Texts | None = None, *, name: str, weight: float = 1.0
) -> Energy:
    """Another language model of the same vocabulary, as a product of experts.

    Args:
        model: the policy, whose vocabulary it must have.
        texts: not looked at.
        name: a packaged model, a folder, or a hub id.
        weight: exponent of the expert's probability; negative for an anti-expert.

    Raises:
        UserError: for another number of tokens, or a model that cannot be loaded.
    """
    import ebmlm

    loaded = ebmlm.load(name)[0].frozen()
    if loaded.vocabulary_size != model.vocabulary_size:
        raise UserError(
            f"'{name}' has {loaded.vocabulary_size} tokens and the policy {model.vocabulary_size}:"
            " a product of experts needs one vocabulary"
        )
    return weight * ExpertEnergy(loaded)


def product(model: LanguageModel, texts: Texts, *, parts: list[EnergyRecipe]) -> Energy:
    """The sum of energies, which is the product of what each makes of the language model."""
    return SumEnergy([part(model, texts) for part in parts])


def residual(
    model: LanguageModel,
    texts: Texts | None = None,
    *,
    folder: str,
    representation: RepresentationRecipe | None = None,
) -> ResidualEnergy:
    """An energy that was learned before.

    Args:
        model: the language model that it was learned over.
        texts: of the run; needed where a representation reads text.
        folder: a run's ``checkpoint/``.
        representation: as it was for training.

    Raises:
        UserError: where there is none, or it does not fit.
    """
    return ResidualEnergy.load(folder, made_representation(model, texts, representation))
