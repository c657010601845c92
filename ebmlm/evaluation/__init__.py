"""Evaluation: what a model is like on held-out text, and how it compares with another."""

from __future__ import annotations

from ebmlm.evaluation.base import Evaluation, Evaluations
from ebmlm.evaluation.calibration import Calibration, calibrate
from ebmlm.evaluation.completions import CompletionEvaluation
from ebmlm.evaluation.continuations import Continuation, continuations
from ebmlm.evaluation.corpus import CorpusMeasurement
from ebmlm.evaluation.energy import EnergyEvaluation, likelihood_gains
from ebmlm.evaluation.figures import Figure, differences, figures
from ebmlm.evaluation.held_out import HeldOutEvaluation
from ebmlm.evaluation.measurement import Measurement
from ebmlm.evaluation.options import CompletionOptions, EnergyOptions
from ebmlm.evaluation.pass_at_k import pass_at_k
from ebmlm.evaluation.plots import plot_curves
from ebmlm.evaluation.record import EvaluationComparison, EvaluationRecord
from ebmlm.evaluation.repetition import repetition
from ebmlm.evaluation.report import EvaluationReport, WrittenCompletion
from ebmlm.evaluation.seeds import SeededDifference, seeded_difference
from ebmlm.evaluation.text_metrics import Bleu, ChrF, TextMetric

__all__ = [
    "Bleu",
    "Calibration",
    "ChrF",
    "CompletionEvaluation",
    "CompletionOptions",
    "Continuation",
    "CorpusMeasurement",
    "EnergyEvaluation",
    "EnergyOptions",
    "Evaluation",
    "EvaluationComparison",
    "EvaluationRecord",
    "EvaluationReport",
    "Evaluations",
    "Figure",
    "HeldOutEvaluation",
    "Measurement",
    "SeededDifference",
    "TextMetric",
    "WrittenCompletion",
    "calibrate",
    "continuations",
    "differences",
    "figures",
    "likelihood_gains",
    "pass_at_k",
    "plot_curves",
    "repetition",
    "seeded_difference",
]
