"""Energies: how bad is each sequence, given the others?"""

from __future__ import annotations

from ebmlm.energies.base import Energy, EnergyTerms, ScaledEnergy, SumEnergy
from ebmlm.energies.constraint import ConstraintEnergy
from ebmlm.energies.expert import ExpertEnergy
from ebmlm.energies.feature_matching import (
    FeatureMatchingEnergy,
    cosine,
    feature_matching_terms,
    inner_product,
)
from ebmlm.energies.function import FunctionEnergy
from ebmlm.energies.heads import Head
from ebmlm.energies.kernel_matching import (
    KernelMatchingEnergy,
    kernel_matching_terms,
    squared_discrepancy,
)
from ebmlm.energies.kl import KLEnergy, k1, k2, k3
from ebmlm.energies.length import LengthEnergy
from ebmlm.energies.linear import LinearEnergy
from ebmlm.energies.representations import FixedFeatures, Representation, TrainedStates
from ebmlm.energies.residual import ResidualEnergy, ResidualModule
from ebmlm.energies.verifier import VerifierEnergy

__all__ = [
    "ConstraintEnergy",
    "Energy",
    "EnergyTerms",
    "ExpertEnergy",
    "FeatureMatchingEnergy",
    "FixedFeatures",
    "FunctionEnergy",
    "Head",
    "KLEnergy",
    "KernelMatchingEnergy",
    "LengthEnergy",
    "LinearEnergy",
    "Representation",
    "ResidualEnergy",
    "ResidualModule",
    "ScaledEnergy",
    "SumEnergy",
    "TrainedStates",
    "VerifierEnergy",
    "cosine",
    "feature_matching_terms",
    "inner_product",
    "k1",
    "k2",
    "k3",
    "kernel_matching_terms",
    "squared_discrepancy",
]
