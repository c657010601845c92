"""Curves of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ebmlm.comparison.outcome import ArmOutcome

__all__ = ["plot_comparison"]

# What an arm is after, the first that was measured; the other axis is cross-entropy.
_ACCURACIES = (
    ("greedy_accuracy", "greedy accuracy"),
    ("greedy_score", "score of greedy completions"),
    ("feature_matching_loss", "feature-matching loss"),
)
_CROSS_ENTROPY = ("cross_entropy", "cross-entropy (nats a token)")
_TIME = ("training_seconds", "seconds of training")


def plot_comparison(outcomes: Sequence[ArmOutcome], output: Path) -> None:
    """Draw accuracy against cross-entropy over training, and both against time, into a PNG.

    Where no completions were verified, the feature-matching loss takes accuracy's place. Bars are
    two standard errors of the difference from the start, in pairs.

    Args:
        outcomes: finished arms, at least one.
        output: the PNG, replaced as a whole.

    Raises:
        ModuleNotFoundError: if matplotlib is not installed (``pip install 'ebmlm[demo]'``).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    measured = outcomes[0].before.measurements
    accuracy = next(choice for choice in _ACCURACIES if choice[0] in measured)
    figure: Any = Figure(figsize=(15, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    pairs = ((_CROSS_ENTROPY, accuracy), (_TIME, accuracy), (_TIME, _CROSS_ENTROPY))
    for axes, (across, up) in zip(figure.subplots(1, 3), pairs, strict=True):
        for outcome in outcomes:
            _draw(axes, outcome, across[0], up[0])
        axes.set_xlabel(across[1])
        axes.set_ylabel(up[1])
        axes.grid(alpha=0.3)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    partial = output.with_suffix(".partial.png")
    figure.savefig(partial, dpi=110)
    partial.replace(output)


def _draw(axes: Any, outcome: ArmOutcome, across: str, up: str) -> None:
    points = [(point[across], point[up]) for point in outcome.curve]
    (line,) = axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=outcome.name)
    errors = outcome.after.minus(outcome.before).standard_errors()
    bars = {
        side: 2 * errors[name]
        for side, name in (("xerr", across), ("yerr", up))
        if name in errors and errors[name] == errors[name]
    }
    end = points[-1]
    axes.errorbar([end[0]], [end[1]], **bars, color=line.get_color(), capsize=3)
    axes.plot(*points[0], marker="*", markersize=11, color="black", zorder=3)
