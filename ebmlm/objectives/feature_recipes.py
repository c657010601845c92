"""Feature maps by the policy and the run's texts, so that a configuration file can name them.

Each takes the policy as it is now and the run's texts first, and options by keyword; those that are
made of other feature maps take recipes for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from ebmlm.features.algebra import Concatenated, Normalised
from ebmlm.features.base import FeatureMap
from ebmlm.features.encoder import EncoderFeatures
from ebmlm.features.hidden_states import HiddenStateFeatures
from ebmlm.features.layers import LayerChoice
from ebmlm.features.ngrams import NGramFeatures
from ebmlm.features.normalisation import Normalisation
from ebmlm.features.pooling import Pooling
from ebmlm.features.projection import RandomProjection
from ebmlm.features.random_fourier import RandomFourierFeatures, Spectrum
from ebmlm.features.reading import TextReading, TokenReading
from ebmlm.features.verified import VerifierFeatures
from ebmlm.language_model import LanguageModel
from ebmlm.texts import Texts
from ebmlm.verifiers.base import Verifier

__all__ = [
    "FeatureRecipe",
    "character_ngrams",
    "concatenation",
    "encoder",
    "fourier",
    "hidden_states",
    "ngrams",
    "normalised",
    "projection",
    "verifier_scores",
]

FeatureRecipe: TypeAlias = Callable[[LanguageModel, Texts], FeatureMap]
"""Makes a feature map for a policy and the texts of a run."""


def hidden_states(
    model: LanguageModel,
    texts: Texts | None = None,
    *,
    layers: LayerChoice | None = None,
    pooling: Pooling | None = None,
    normalisation: Normalisation | None = None,
    apart: bool = False,
) -> HiddenStateFeatures:
    """Hidden states of the policy as it is now, frozen.

    Args:
        model: the policy.
        texts: not looked at.
        layers: by default a quarter, a half and three quarters up.
        pooling: by default the last token.
        normalisation: by default the layers jointly to length one.
        apart: whether each layer is matched on its own.
    """
    return HiddenStateFeatures(model.frozen(), layers, pooling, normalisation, apart)


def encoder(
    model: LanguageModel,
    texts: Texts,
    *,
    name: str = "minilm-l6",
    context: int = 24,
    pooling: Pooling | None = None,
    normalised: bool | None = None,
    device: str | None = None,
    batch_size: int = 64,
    kept: int = 50_000,
) -> EncoderFeatures:
    """A text encoder on decoded text.

    Args:
        model: not looked at.
        texts: of the policy's tokeniser.
        name: a packaged encoder (minilm-l6), a folder of one, or a hub id.
        context: tokens before the anchor that are read with a continuation.
        pooling: instead of what the encoder's folder says.
        normalised: whether vectors have length one, instead of what the encoder's folder says.
        device: where the encoder runs; by default the CPU.
        batch_size: texts encoded at once.
        kept: references whose vectors are kept at most.
    """
    from ebmlm.models.encoder import load_encoder

    loaded = load_encoder(name, pooling=pooling, normalised=normalised, device=device)
    return EncoderFeatures(loaded, texts, context, batch_size, kept)


def ngrams(
    model: LanguageModel,
    texts: Texts | None = None,
    *,
    orders: Sequence[int] = (1, 2, 3),
    width: int = 1024,
    context: int = 0,
    normalised: bool = True,
    seed: int = 0,
) -> NGramFeatures:
    """Hashed counts of n-grams of tokens; neither ``model`` nor ``texts`` is looked at.

    Args:
        model: not looked at.
        texts: not looked at.
        orders: lengths of n-grams.
        width: features.
        context: tokens before the anchor that are counted too.
        normalised: whether vectors have length one.
        seed: of the hash.
    """
    return NGramFeatures(orders, width, TokenReading(context), normalised, seed)


def character_ngrams(
    model: LanguageModel,
    texts: Texts,
    *,
    orders: Sequence[int] = (2, 3, 4),
    width: int = 1024,
    context: int = 0,
    normalised: bool = True,
    seed: int = 0,
) -> NGramFeatures:
    """Hashed counts of n-grams of characters of the decoded text; options as in :func:`ngrams`."""
    return NGramFeatures(orders, width, TextReading(texts, context), normalised, seed)


def concatenation(
    model: LanguageModel,
    texts: Texts,
    *,
    parts: list[FeatureRecipe],
    weights: list[float] | None = None,
    apart: bool = False,
) -> Concatenated:
    """Several feature maps side by side.

    Args:
        model: the policy.
        texts: of the run.
        parts: recipes of the feature maps.
        weights: of their inner products; one each by default.
        apart: whether each is matched on its own.
    """
    return Concatenated([part(model, texts) for part in parts], weights, apart)


def normalised(
    model: LanguageModel, texts: Texts, *, features: FeatureRecipe, apart: bool = False
) -> Normalised:
    """A feature map brought to length one, as a whole or each block (``apart``)."""
    return Normalised(features(model, texts), apart)


def projection(
    model: LanguageModel,
    texts: Texts,
    *,
    features: FeatureRecipe,
    width: int = 1024,
    seed: int = 0,
) -> RandomProjection:
    """A feature map in ``width`` dimensions, by a random projection with this ``seed``."""
    return RandomProjection(features(model, texts), width, seed)


def fourier(
    model: LanguageModel,
    texts: Texts,
    *,
    features: FeatureRecipe,
    spectrum: Spectrum | None = None,
    frequencies: int = 512,
    seed: int = 0,
) -> RandomFourierFeatures:
    """Random Fourier features of a feature map.

    Args:
        model: the policy.
        texts: of the run.
        features: what the kernel compares.
        spectrum: the kernel; by default Gaussian of bandwidth one.
        frequencies: of which there are a cosine and a sine each.
        seed: of the frequencies.
    """
    return RandomFourierFeatures(features(model, texts), spectrum, frequencies, seed)


def verifier_scores(
    model: LanguageModel, texts: Texts, *, verifiers: list[Verifier], context: int = 0
) -> VerifierFeatures:
    """One feature for each verifier, its score of the text.

    Args:
        model: not looked at.
        texts: of the policy's tokeniser.
        verifiers: none that needs a column of a row.
        context: tokens before the anchor that are read too.
    """
    return VerifierFeatures(verifiers, texts, context)
