"""Feature maps: what do we see in a sequence?"""

from __future__ import annotations

from ebmlm.features.base import FeatureMap, Features
from ebmlm.features.hidden_states import HiddenStateFeatures
from ebmlm.features.layers import Depths, LayerChoice, LayerIndices
from ebmlm.features.normalisation import JointLength, LayerLength, Normalisation, Unnormalised
from ebmlm.features.pooling import LastToken, MeanToken, PerToken, Pooling, Quartiles
from ebmlm.features.whitening import (
    BatchMetricWhitening,
    FeatureSpaceWhitening,
    Metric,
    MetricWhitening,
    NoWhitening,
    SampleSpaceWhitening,
    Whitening,
)

__all__ = [
    "BatchMetricWhitening",
    "Depths",
    "FeatureMap",
    "FeatureSpaceWhitening",
    "Features",
    "HiddenStateFeatures",
    "JointLength",
    "LastToken",
    "LayerChoice",
    "LayerIndices",
    "LayerLength",
    "MeanToken",
    "Metric",
    "MetricWhitening",
    "NoWhitening",
    "Normalisation",
    "PerToken",
    "Pooling",
    "Quartiles",
    "SampleSpaceWhitening",
    "Unnormalised",
    "Whitening",
]
