"""Energies in other people's trainers."""

from __future__ import annotations

from ebmlm.integrations.corrections import Correction, ForGRPO, ForRLOO
from ebmlm.integrations.trl import FeatureMatchingReward

__all__ = ["Correction", "FeatureMatchingReward", "ForGRPO", "ForRLOO"]
