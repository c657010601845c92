"""Training: transformers' trainer around any objective, and whole runs from a configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebmlm.training.diverged import TrainingDiverged
from ebmlm.training.measurement import EvaluationOptions
from ebmlm.training.options import TrainingOptions
from ebmlm.training.pipeline import Pipeline
from ebmlm.training.precision import Precision
from ebmlm.training.redirection import forward_through

if TYPE_CHECKING:
    from ebmlm.training.callbacks import FiniteGradients, MetricsFile, ProgressLine
    from ebmlm.training.trainer import EBMTrainer

__all__ = [
    "EBMTrainer",
    "EvaluationOptions",
    "FiniteGradients",
    "MetricsFile",
    "Pipeline",
    "Precision",
    "ProgressLine",
    "TrainingDiverged",
    "TrainingOptions",
    "forward_through",
]

# transformers' trainer takes seconds to import, so the parts built on it are looked up when asked.
_LAZY = {
    "EBMTrainer": "ebmlm.training.trainer",
    "FiniteGradients": "ebmlm.training.callbacks",
    "MetricsFile": "ebmlm.training.callbacks",
    "ProgressLine": "ebmlm.training.callbacks",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
