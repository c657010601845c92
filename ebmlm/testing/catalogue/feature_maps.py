"""The package's feature maps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch

from ebmlm.features import (
    Concatenated,
    Depths,
    EncoderFeatures,
    FunctionFeatures,
    HiddenStateFeatures,
    LaplaceSpectrum,
    LayerLength,
    MeanToken,
    NGramFeatures,
    Normalised,
    PerToken,
    Projected,
    Quartiles,
    RandomFourierFeatures,
    RandomProjection,
    TextReading,
    TokenReading,
    Unnormalised,
    Whitened,
)
from ebmlm.testing import bugs, checks, laws
from ebmlm.testing.catalogue.kind import Kind
from ebmlm.testing.catalogue.parts import (
    texts_of_digits,
    tiny_features,
    tiny_metric,
)
from ebmlm.testing.tiny import tiny_encoder, tiny_transformer

__all__ = ["FEATURE_MAPS"]


def _lengths_of_texts(texts: Sequence[str]) -> torch.Tensor:
    return torch.tensor([[len(text), text.count("1")] for text in texts], dtype=torch.float64)


FEATURE_MAPS = Kind(
    "feature maps",
    laws.FEATURE_MAP_LAWS,
    checks.check_feature_map,
    {
        "HiddenStates": tiny_features,
        "HiddenStates, mean token": partial(tiny_features, pooling=MeanToken()),
        "HiddenStates, quartiles": partial(tiny_features, pooling=Quartiles(), apart=True),
        "HiddenStates, per token": partial(tiny_features, pooling=PerToken()),
        "HiddenStates, layer length": partial(tiny_features, normalisation=LayerLength()),
        "HiddenStates, unnormalised": partial(
            tiny_features, layers=Depths([0.0, 1.0]), normalisation=Unnormalised()
        ),
        "HiddenStates of a Llama": lambda: HiddenStateFeatures(tiny_transformer()),
        "Encoder": lambda: EncoderFeatures(tiny_encoder(), texts_of_digits(), context=2),
        "Function of tokens": lambda: FunctionFeatures(
            lambda rows: torch.tensor([[float(sum(row))] for row in rows]), 1, TokenReading(1)
        ),
        "Function of text": lambda: FunctionFeatures(
            _lengths_of_texts, 2, TextReading(texts_of_digits()), batch_size=2, kept=3
        ),
        "NGrams": partial(NGramFeatures, (1, 2), 8),
        "NGrams of characters": lambda: NGramFeatures(
            (2,), 4, TextReading(texts_of_digits(), 2), normalised=False
        ),
        "Concatenated": lambda: Concatenated([tiny_features(), NGramFeatures((1,), 3)], [0.5, 2.0]),
        "Concatenated, apart": lambda: Concatenated(
            [tiny_features(apart=True), 2 * NGramFeatures((1,), 3)], apart=True
        ),
        "Scaled": lambda: 0.5 * tiny_features(),
        "Normalised": lambda: Normalised(
            tiny_features(apart=True, normalisation=Unnormalised()), apart=True
        ),
        "Projected": lambda: Projected(tiny_features(), torch.eye(9)[:2]),
        "RandomProjection": lambda: RandomProjection(tiny_features(), 4),
        "RandomFourier": lambda: RandomFourierFeatures(tiny_features(), frequencies=5),
        "RandomFourier, Laplace": lambda: RandomFourierFeatures(
            tiny_features(), LaplaceSpectrum(2.0), frequencies=5
        ),
        "Whitened": lambda: Whitened(tiny_features(), tiny_metric().metric),
    },
    bugs.FEATURE_MAP_BUGS,
)
