"""Evaluation: what a model is like on held-out text, and how it compares with another."""

from __future__ import annotations

from ebmlm.evaluation.continuations import Continuation, continuations
from ebmlm.evaluation.held_out import HeldOutEvaluation
from ebmlm.evaluation.plots import plot_curves
from ebmlm.evaluation.report import EvaluationReport, Measurement

__all__ = [
    "Continuation",
    "EvaluationReport",
    "HeldOutEvaluation",
    "Measurement",
    "continuations",
    "plot_curves",
]
