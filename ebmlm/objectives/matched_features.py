"""What a recipe matches: hidden states of a network, or what another recipe makes."""

from __future__ import annotations

from ebmlm.errors import UserError
from ebmlm.features.base import FeatureMap
from ebmlm.features.hidden_states import HiddenStateFeatures
from ebmlm.features.layers import LayerChoice
from ebmlm.features.normalisation import Normalisation
from ebmlm.features.pooling import Pooling
from ebmlm.language_model import LanguageModel
from ebmlm.objectives.feature_recipes import FeatureRecipe
from ebmlm.texts import Texts

__all__ = ["matched_features", "needed_texts"]


def needed_texts(texts: Texts | None, what: str = "features") -> Texts:
    """Return the texts that a recipe is made with.

    Args:
        texts: of the run, or None where a recipe was called without.
        what: that recipe makes.

    Raises:
        UserError: where there are none.
    """
    if texts is None:
        raise UserError(f"{what} are given by a recipe and texts are not: pass the run's Texts")
    return texts


def matched_features(
    model: LanguageModel,
    texts: Texts | None,
    features: FeatureRecipe | None,
    hidden: LanguageModel | None,
    layers: LayerChoice | None = None,
    pooling: Pooling | None = None,
    normalisation: Normalisation | None = None,
    network: LanguageModel | None = None,
) -> FeatureMap:
    """Return what a recipe makes, or hidden states of the network ``hidden``; not both.

    Args:
        model: the policy.
        texts: of the run; needed by a recipe.
        features: the recipe; None for hidden states.
        hidden: whose hidden states.
        layers: of hidden states, as the three after it.
        pooling: see ``layers``.
        normalisation: see ``layers``.
        network: see ``layers``.

    Raises:
        UserError: for a recipe and an option of hidden states, or a recipe and no texts.
    """
    if features is None:
        assert hidden is not None
        return HiddenStateFeatures(hidden, layers, pooling, normalisation)
    options = {
        "layers": layers,
        "pooling": pooling,
        "normalisation": normalisation,
        "network": network,
    }
    for name, value in options.items():
        if value is not None:
            raise UserError(
                f"features and {name} are both given: {name} is an option of hidden-state"
                " features; give it to the recipe in features instead"
            )
    return features(model, needed_texts(texts))
