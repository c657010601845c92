"""Deliberate bugs: mistakes that have been made, each with the law that finds it (docs/bugs.md)."""

from __future__ import annotations

from ebmlm.testing.bugs.bug import Bug
from ebmlm.testing.bugs.energies import ENERGY_BUGS
from ebmlm.testing.bugs.estimators import ESTIMATOR_BUGS
from ebmlm.testing.bugs.feature_maps import FEATURE_MAP_BUGS
from ebmlm.testing.bugs.language_models import LANGUAGE_MODEL_BUGS
from ebmlm.testing.bugs.objectives import OBJECTIVE_BUGS
from ebmlm.testing.bugs.partitions import PARTITION_BUGS
from ebmlm.testing.bugs.proposals import PROPOSAL_BUGS
from ebmlm.testing.bugs.samplers import SAMPLER_BUGS
from ebmlm.testing.bugs.target_samplers import TARGET_SAMPLER_BUGS

__all__ = [
    "ENERGY_BUGS",
    "ESTIMATOR_BUGS",
    "FEATURE_MAP_BUGS",
    "LANGUAGE_MODEL_BUGS",
    "OBJECTIVE_BUGS",
    "PARTITION_BUGS",
    "PROPOSAL_BUGS",
    "SAMPLER_BUGS",
    "TARGET_SAMPLER_BUGS",
    "Bug",
]
