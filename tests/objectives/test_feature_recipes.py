"""Feature maps by the names that configurations use."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from ebmlm import recipes as names
from ebmlm.energies import FeatureMatchingEnergy
from ebmlm.errors import UserError
from ebmlm.features import (
    Concatenated,
    Depths,
    EncoderFeatures,
    FeatureMap,
    HiddenStateFeatures,
    LaplaceSpectrum,
    NGramFeatures,
    Normalised,
    RandomFourierFeatures,
    RandomProjection,
)
from ebmlm.objectives import feature_recipes, recipes
from ebmlm.testing import TabularLanguageModel
from ebmlm.testing.tiny import tiny_encoder
from ebmlm.texts import Texts
from ebmlm.training import EvaluationOptions

MODEL = TabularLanguageModel(3, 2, hidden=4)
TEXTS = Texts(cast(Any, None), {})
HIDDEN = partial(feature_recipes.hidden_states, layers=Depths([0.5, 1.0]))


def test_each_makes_its_feature_map(tmp_path: Path) -> None:
    tiny = tiny_encoder()
    tiny.model.float().save_pretrained(tmp_path)
    tiny.tokeniser.save_pretrained(tmp_path)
    made: dict[type[FeatureMap], tuple[FeatureMap, int]] = {
        HiddenStateFeatures: (HIDDEN(MODEL, TEXTS), 8),
        NGramFeatures: (feature_recipes.ngrams(MODEL, TEXTS, width=32), 32),
        EncoderFeatures: (feature_recipes.encoder(MODEL, TEXTS, name=str(tmp_path)), 16),
        Normalised: (feature_recipes.normalised(MODEL, TEXTS, features=HIDDEN), 8),
        RandomProjection: (feature_recipes.projection(MODEL, TEXTS, features=HIDDEN, width=3), 3),
        RandomFourierFeatures: (
            feature_recipes.fourier(
                MODEL, TEXTS, features=HIDDEN, spectrum=LaplaceSpectrum(), frequencies=5
            ),
            10,
        ),
        Concatenated: (
            feature_recipes.concatenation(
                MODEL, TEXTS, parts=[HIDDEN, feature_recipes.character_ngrams], weights=[1.0, 0.5]
            ),
            8 + 1024,
        ),
    }
    for kind, (features, width) in made.items():
        assert type(features) is kind
        assert features.width == width


def test_every_recipe_has_a_name_for_configurations() -> None:
    described = {(getattr(names, name).__doc__ or "").splitlines()[0] for name in names.__all__}
    for name in set(feature_recipes.__all__) - {"FeatureRecipe"}:
        first = (getattr(feature_recipes, name).__doc__ or "").splitlines()[0]
        assert first in described, name


def test_a_recipe_takes_the_place_of_hidden_states() -> None:
    for recipe in (recipes.ebft, recipes.ebft_unbiased):
        objective = recipe(MODEL, TEXTS, features=feature_recipes.ngrams)
        assert isinstance(objective.energy, FeatureMatchingEnergy)
        assert isinstance(objective.energy.features, NGramFeatures)
    with pytest.raises(UserError, match="features and layers are both given"):
        recipes.ebft(MODEL, TEXTS, features=feature_recipes.ngrams, layers=Depths())
    with pytest.raises(UserError, match="features and layers are both given"):
        recipes.ebft_unbiased(MODEL, TEXTS, features=feature_recipes.ngrams, layers=Depths())
    with pytest.raises(UserError, match="features and network are both given"):
        recipes.ebft(MODEL, TEXTS, features=feature_recipes.ngrams, network=MODEL)
    with pytest.raises(UserError, match="texts are not: pass the run's Texts"):
        recipes.ebft(MODEL, features=feature_recipes.ngrams)


def test_a_recipe_takes_their_place_in_the_evaluation() -> None:
    evaluation: Any = EvaluationOptions(features=feature_recipes.ngrams).build(MODEL, TEXTS)
    assert isinstance(evaluation.features, NGramFeatures)
    with pytest.raises(UserError, match=r"evaluation\.features and evaluation\.layers"):
        EvaluationOptions(features=feature_recipes.ngrams, layers=Depths())


def test_a_frozen_network_is_not_copied_again() -> None:
    from tests.helpers import pair

    policy, _ = pair()
    frozen = policy.frozen()
    assert frozen.frozen() is frozen
    assert frozen is not policy
    features = feature_recipes.hidden_states(frozen)
    assert features.network is frozen
