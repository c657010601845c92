"""Laws: what a part promises, as functions that find a smallest counterexample."""

from __future__ import annotations

from ebmlm.testing.laws.energy import ENERGY_LAWS
from ebmlm.testing.laws.estimator import ESTIMATOR_LAWS
from ebmlm.testing.laws.feature_map import FEATURE_MAP_LAWS
from ebmlm.testing.laws.language_model import LANGUAGE_MODEL_LAWS
from ebmlm.testing.laws.objective import OBJECTIVE_LAWS
from ebmlm.testing.laws.partition import PARTITION_LAWS
from ebmlm.testing.laws.proof import LawViolation
from ebmlm.testing.laws.proposal import PROPOSAL_LAWS
from ebmlm.testing.laws.sampler import SAMPLER_LAWS
from ebmlm.testing.laws.target_sampler import TARGET_SAMPLER_LAWS

__all__ = [
    "ENERGY_LAWS",
    "ESTIMATOR_LAWS",
    "FEATURE_MAP_LAWS",
    "LANGUAGE_MODEL_LAWS",
    "OBJECTIVE_LAWS",
    "PARTITION_LAWS",
    "PROPOSAL_LAWS",
    "SAMPLER_LAWS",
    "TARGET_SAMPLER_LAWS",
    "LawViolation",
]
