"""Feature maps: what do we see in a sequence?"""

from __future__ import annotations

from ebmlm.features.algebra import Concatenated, Normalised, Scaled
from ebmlm.features.base import FeatureMap, Features
from ebmlm.features.encoder import EncoderFeatures
from ebmlm.features.function import FunctionFeatures
from ebmlm.features.group_whitening import FeatureSpaceWhitening, SampleSpaceWhitening
from ebmlm.features.hidden_states import HiddenStateFeatures
from ebmlm.features.layers import Depths, LayerChoice, LayerIndices
from ebmlm.features.metric import Metric, Whitened
from ebmlm.features.metric_whitening import BatchMetricWhitening, MetricWhitening
from ebmlm.features.ngrams import NGramFeatures
from ebmlm.features.normalisation import JointLength, LayerLength, Normalisation, Unnormalised
from ebmlm.features.pooling import FirstToken, LastToken, MeanToken, PerToken, Pooling, Quartiles
from ebmlm.features.projection import Projected, RandomProjection
from ebmlm.features.random_fourier import (
    GaussianSpectrum,
    LaplaceSpectrum,
    RandomFourierFeatures,
    Spectrum,
)
from ebmlm.features.reading import Reading, TextReading, TokenReading
from ebmlm.features.running_whitening import RunningMetricWhitening
from ebmlm.features.second_moment import SecondMoment
from ebmlm.features.shrinkage import FixedShrinkage, LedoitWolf, Shrinkage
from ebmlm.features.verified import VerifierFeatures
from ebmlm.features.whitening import NoWhitening, Whitening

__all__ = [
    "BatchMetricWhitening",
    "Concatenated",
    "Depths",
    "EncoderFeatures",
    "FeatureMap",
    "FeatureSpaceWhitening",
    "Features",
    "FirstToken",
    "FixedShrinkage",
    "FunctionFeatures",
    "GaussianSpectrum",
    "HiddenStateFeatures",
    "JointLength",
    "LaplaceSpectrum",
    "LastToken",
    "LayerChoice",
    "LayerIndices",
    "LayerLength",
    "LedoitWolf",
    "MeanToken",
    "Metric",
    "MetricWhitening",
    "NGramFeatures",
    "NoWhitening",
    "Normalisation",
    "Normalised",
    "PerToken",
    "Pooling",
    "Projected",
    "Quartiles",
    "RandomFourierFeatures",
    "RandomProjection",
    "Reading",
    "RunningMetricWhitening",
    "SampleSpaceWhitening",
    "Scaled",
    "SecondMoment",
    "Shrinkage",
    "Spectrum",
    "TextReading",
    "TokenReading",
    "Unnormalised",
    "VerifierFeatures",
    "Whitened",
    "Whitening",
]
