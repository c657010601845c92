"""What the head of a learned energy reads, by the policy and the run's texts."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeAlias

from ebmlm.energies.representations import FixedFeatures, Representation, TrainedStates
from ebmlm.errors import UserError
from ebmlm.features.hidden_states import HiddenStateFeatures
from ebmlm.features.layers import LayerChoice, LayerIndices
from ebmlm.features.normalisation import Normalisation, Unnormalised
from ebmlm.features.pooling import MeanToken, Pooling
from ebmlm.language_model import LanguageModel
from ebmlm.objectives.feature_recipes import FeatureRecipe
from ebmlm.objectives.matched_features import needed_texts
from ebmlm.texts import Texts

__all__ = ["RepresentationRecipe", "fixed", "made_representation", "trained_states"]

RepresentationRecipe: TypeAlias = Callable[[LanguageModel, Texts], Representation]
"""Makes what the head reads, for a policy and the texts of a run."""


def fixed(
    model: LanguageModel, texts: Texts | None = None, *, features: FeatureRecipe | None = None
) -> FixedFeatures:
    """Features that stay as they are: only the head trains.

    Args:
        model: the language model.
        texts: of the run; needed where ``features`` read text.
        features: by default the mean over tokens of the hidden states half-way up and at the top,
            with their lengths as they are.
    """
    if features is None:
        network = model.frozen()
        layers = LayerIndices([network.layer_count // 2, network.layer_count])
        return FixedFeatures(HiddenStateFeatures(network, layers, MeanToken(), Unnormalised()))
    return FixedFeatures(features(model, needed_texts(texts)))


def trained_states(
    model: LanguageModel,
    texts: Texts | None = None,
    *,
    layers: LayerChoice | None = None,
    pooling: Pooling | None = None,
    normalisation: Normalisation | None = None,
) -> TrainedStates:
    """Hidden states of a copy of the language model, which trains with the head.

    Args:
        model: the language model; the copy starts from it, and it stays as it is.
        texts: not looked at.
        layers: by default the last.
        pooling: by default the mean over tokens.
        normalisation: by default lengths as they are.
    """
    return TrainedStates(
        HiddenStateFeatures(
            _copied(model),
            LayerIndices([-1]) if layers is None else layers,
            MeanToken() if pooling is None else pooling,
            Unnormalised() if normalisation is None else normalisation,
        )
    )


def made_representation(
    model: LanguageModel, texts: Texts | None, representation: RepresentationRecipe | None
) -> Representation:
    """Return what a recipe makes, or fixed hidden states where there is none.

    Raises:
        UserError: for a recipe and no texts.
    """
    if representation is None:
        return fixed(model, texts)
    return representation(model, needed_texts(texts, "representations"))


def _copied(model: LanguageModel) -> LanguageModel:
    """A copy with weights of its own that train."""
    from ebmlm.transformers_model import TransformersLanguageModel

    if not isinstance(model, TransformersLanguageModel):
        return copy.deepcopy(model)
    whole = model.model
    if hasattr(whole, "get_base_model"):
        raise UserError(
            "the model has adapters: merge them (merge_and_unload) before a copy of it is trained"
            " as an energy"
        )
    return TransformersLanguageModel(copy.deepcopy(whole).requires_grad_(True), model.end_tokens)
