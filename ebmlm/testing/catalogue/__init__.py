"""Every implementation in the package, and every deliberate bug, by the kind of part it is."""

from __future__ import annotations

from ebmlm.testing.catalogue.energies import ENERGIES
from ebmlm.testing.catalogue.estimators import ESTIMATORS
from ebmlm.testing.catalogue.feature_maps import FEATURE_MAPS
from ebmlm.testing.catalogue.kind import Kind
from ebmlm.testing.catalogue.language_models import LANGUAGE_MODELS
from ebmlm.testing.catalogue.objectives import OBJECTIVES
from ebmlm.testing.catalogue.samplers import SAMPLERS
from ebmlm.testing.catalogue.targets import PARTITIONS, PROPOSALS, TARGET_SAMPLERS

__all__ = [
    "ENERGIES",
    "ESTIMATORS",
    "FEATURE_MAPS",
    "KINDS",
    "LANGUAGE_MODELS",
    "OBJECTIVES",
    "PARTITIONS",
    "PROPOSALS",
    "SAMPLERS",
    "TARGET_SAMPLERS",
    "Kind",
]

KINDS = (
    ESTIMATORS,
    ENERGIES,
    SAMPLERS,
    FEATURE_MAPS,
    LANGUAGE_MODELS,
    OBJECTIVES,
    TARGET_SAMPLERS,
    PROPOSALS,
    PARTITIONS,
)
"""Every kind of part that has laws."""
