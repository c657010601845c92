"""Targets: distributions over completions that a language model and an energy define together."""

from __future__ import annotations

from ebmlm.targets.energy_model import EnergyModel
from ebmlm.targets.moments import MomentFit, fit_moments, solve_moments
from ebmlm.targets.partition import (
    FixedPartition,
    GroupPartition,
    LeaveOneOutPartition,
    Partition,
    PartitionEstimate,
    estimate_partition,
)
from ebmlm.targets.tuning import DivergenceEnergy, TargetEnergy

__all__ = [
    "DivergenceEnergy",
    "EnergyModel",
    "FixedPartition",
    "GroupPartition",
    "LeaveOneOutPartition",
    "MomentFit",
    "Partition",
    "PartitionEstimate",
    "TargetEnergy",
    "estimate_partition",
    "fit_moments",
    "solve_moments",
]
