"""Objectives: parts put together into something that can be minimised."""

from __future__ import annotations

from ebmlm.objectives import recipes
from ebmlm.objectives.base import ItemCounts, Objective
from ebmlm.objectives.cross_entropy import CrossEntropy
from ebmlm.objectives.cross_entropy_weight import CrossEntropyWeight, GradientShare
from ebmlm.objectives.energy import EnergyObjective
from ebmlm.objectives.policy import PolicyObjective

__all__ = [
    "CrossEntropy",
    "CrossEntropyWeight",
    "EnergyObjective",
    "GradientShare",
    "ItemCounts",
    "Objective",
    "PolicyObjective",
    "recipes",
]
