"""Curves of a run."""

from __future__ import annotations

import json
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

from ebmlm.evaluation.report import EvaluationReport

__all__ = ["plot_curves"]

_HELD_OUT = (
    ("cross_entropy", "cross-entropy (nats a token)"),
    ("feature_matching_loss", "feature-matching loss"),
    ("alignment", "alignment"),
    ("diversity", "diversity (high is alike)"),
    ("gain_lower", "gain, lower bound (nats a token)"),
    ("gain_resampled", "gain of resampling, lower bound"),
    ("ranking_accuracy", "real told from noise, in pairs"),
    ("nce_loss", "contrastive loss"),
)
_PANELS = 4
# In training, alignment and diversity are in the energy's own metric: whitened, if it whitens.
_TRAINING = (
    ("cross_entropy", "cross-entropy (nats a token)"),
    ("reward", "reward"),
    ("alignment", "alignment, as the energy sees it"),
    ("grad_norm", "gradient norm"),
    ("nce_loss", "contrastive loss"),
    ("ranking_accuracy", "real told from noise, in pairs"),
    ("real_energy", "energy of real text"),
    ("negative_energy", "energy of the others"),
)


def plot_curves(
    metrics: Path,
    output: Path,
    *,
    before: EvaluationReport,
    after: EvaluationReport,
    steps: int,
) -> None:
    """Draw the held-out evaluations of a run, and its training metrics over steps, into a PNG.

    Args:
        metrics: a metrics.jsonl.
        output: the PNG, replaced as a whole.
        before: the held-out evaluation before the first step.
        after: the same sequences after the last. Its bars are two standard errors of the paired
            difference.
        steps: optimiser steps.

    Raises:
        ModuleNotFoundError: if matplotlib is not installed (``pip install 'ebmlm[demo]'``).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    figure: Any = Figure(figsize=(15, 6.5), layout="constrained")
    FigureCanvasAgg(figure)
    top, bottom = figure.subfigures(2, 1)
    top.suptitle("held-out text (bars: two standard errors of the difference)", fontsize=11)
    bottom.suptitle("training", fontsize=11)
    held_out = _measured(_HELD_OUT, {*before.measurements} & {*after.measurements})
    for axes, (name, title) in zip(top.subplots(1, _PANELS), held_out, strict=True):
        if name in before.measurements and name in after.measurements:
            _draw_held_out(axes, lines, name, before, after, steps)
        else:
            _say_nothing(axes)
        _finish(axes, title)
    training = _measured(_TRAINING, {name for line in lines for name in line})
    for axes, (name, title) in zip(bottom.subplots(1, _PANELS), training, strict=True):
        _draw_training(axes, lines, name)
        _finish(axes, title)
    partial = output.with_suffix(".partial.png")
    figure.savefig(partial, dpi=110)
    partial.replace(output)


def _measured(panels: Sequence[tuple[str, str]], names: Set[str]) -> list[tuple[str, str]]:
    """The first panels of which something was measured, filled up with others."""
    return sorted(panels, key=lambda panel: panel[0] not in names)[:_PANELS]


def _finish(axes: Any, title: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("step")
    axes.grid(alpha=0.3)


def _say_nothing(axes: Any) -> None:
    axes.text(0.5, 0.5, "not measured", ha="center", transform=axes.transAxes)


def _draw_training(axes: Any, lines: list[dict[str, Any]], name: str) -> None:
    points = [(line["step"], line[name]) for line in lines if name in line]
    if not points:
        _say_nothing(axes)
        return
    steps, values = zip(*points, strict=True)
    axes.plot(steps, values, color="tab:blue", alpha=0.35, linewidth=1)
    window = max(1, len(values) // 8)
    smooth = [
        sum(values[max(0, end - window) : end]) / min(window, end)
        for end in range(1, len(values) + 1)
    ]
    axes.plot(steps, smooth, color="tab:blue", linewidth=2, label=f"mean of {window}")
    axes.legend(fontsize=8)


def _draw_held_out(
    axes: Any,
    lines: list[dict[str, Any]],
    name: str,
    before: EvaluationReport,
    after: EvaluationReport,
    steps: int,
) -> None:
    key = f"eval_{name}"
    between = [(line["step"], line[key]) for line in lines if key in line and line["step"] < steps]
    start, end = before.means()[name], after.means()[name]
    points = [(0, start), *between, (steps, end)]
    axes.plot(*zip(*points, strict=True), color="tab:orange", marker="o", linewidth=2)
    error = after.measurements[name].minus(before.measurements[name]).standard_error
    if error == error:  # not a number for a single sequence
        axes.errorbar([steps], [end], yerr=[2 * error], color="tab:orange", capsize=4)
