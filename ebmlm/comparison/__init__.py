"""Comparison: several objectives from one start, on one budget, measured alike."""

from __future__ import annotations

from ebmlm.comparison.arms import Arm, check_alike
from ebmlm.comparison.outcome import ArmOutcome
from ebmlm.comparison.run import Comparison

__all__ = ["Arm", "ArmOutcome", "Comparison", "check_alike"]
