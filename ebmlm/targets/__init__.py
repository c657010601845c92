"""Targets: distributions over completions that a language model and an energy define together."""

from __future__ import annotations

from ebmlm.targets.cost import CountedLanguageModel
from ebmlm.targets.draws import DensityPriority, TargetDrawsSampler
from ebmlm.targets.energy_model import EnergyModel
from ebmlm.targets.moments import MomentFit, fit_moments, solve_moments
from ebmlm.targets.negatives import DataChains, Negatives, Noise
from ebmlm.targets.partition import (
    FixedPartition,
    GroupPartition,
    LeaveOneOutPartition,
    Partition,
    PartitionEstimate,
    estimate_partition,
)
from ebmlm.targets.persistent_chains import PersistentChains
from ebmlm.targets.rejection import RejectionTradeoff, rejection_tradeoff
from ebmlm.targets.tuning import DivergenceEnergy, TargetEnergy

__all__ = [
    "CountedLanguageModel",
    "DataChains",
    "DensityPriority",
    "DivergenceEnergy",
    "EnergyModel",
    "FixedPartition",
    "GroupPartition",
    "LeaveOneOutPartition",
    "MomentFit",
    "Negatives",
    "Noise",
    "Partition",
    "PartitionEstimate",
    "PersistentChains",
    "RejectionTradeoff",
    "TargetDrawsSampler",
    "TargetEnergy",
    "estimate_partition",
    "fit_moments",
    "rejection_tradeoff",
    "solve_moments",
]
