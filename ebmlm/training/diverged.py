"""The error of a run that cannot go on."""

from __future__ import annotations

__all__ = ["TrainingDiverged"]


class TrainingDiverged(RuntimeError):
    """A loss or gradient that is not finite; what was saved before is kept."""
