"""Curves of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["plot_curves"]

# Name in metrics.jsonl, name in an evaluation, title.
_PANELS = (
    ("cross_entropy", "cross_entropy", "cross-entropy (nats a token)"),
    (None, "feature_matching_loss", "feature-matching loss"),
    ("reward", None, "reward"),
    ("alignment", "alignment", "alignment"),
    ("diversity", "diversity", "diversity (high is alike)"),
    ("grad_norm", None, "gradient norm"),
)


def plot_curves(
    metrics: Path,
    output: Path,
    *,
    before: Mapping[str, float],
    after: Mapping[str, float],
    steps: int,
) -> None:
    """Draw a run's metrics over its steps, with the held-out evaluations, into a PNG.

    Args:
        metrics: a metrics.jsonl.
        output: the PNG, replaced as a whole.
        before: held-out means before the first step.
        after: held-out means after the last.
        steps: optimiser steps.

    Raises:
        ModuleNotFoundError: if matplotlib is not installed (``pip install 'ebmlm[demo]'``).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    figure = Figure(figsize=(12, 6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (trained, held_out, title) in zip(figure.subplots(2, 3).flat, _PANELS, strict=True):
        if trained is not None:
            _draw_training(axes, lines, trained)
        if held_out is not None:
            _draw_held_out(axes, lines, held_out, before, after, steps)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)
    partial = output.with_suffix(".partial.png")
    figure.savefig(partial, dpi=120)
    partial.replace(output)


def _draw_training(axes: Any, lines: list[dict[str, Any]], name: str) -> None:
    points = [(line["step"], line[name]) for line in lines if name in line]
    if not points:
        return
    steps, values = zip(*points, strict=True)
    axes.plot(steps, values, color="tab:blue", alpha=0.35, linewidth=1, label="training")
    window = max(1, len(values) // 8)
    smooth = [
        sum(values[max(0, end - window) : end]) / min(window, end)
        for end in range(1, len(values) + 1)
    ]
    axes.plot(steps, smooth, color="tab:blue", linewidth=2, label=f"mean of {window}")


def _draw_held_out(
    axes: Any,
    lines: list[dict[str, Any]],
    name: str,
    before: Mapping[str, float],
    after: Mapping[str, float],
    steps: int,
) -> None:
    key = f"eval_{name}"
    between = [(line["step"], line[key]) for line in lines if key in line]
    points = [(0, before[name]), *between, (steps, after[name])]
    axes.plot(
        *zip(*points, strict=True), color="tab:orange", marker="o", linewidth=2, label="held out"
    )
