"""Tables on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ebmlm.evaluation.continuations import Continuation

__all__ = ["comparison_table", "continuation_table", "measurement_table"]

LABELS = {
    "cross_entropy": "cross-entropy (nats/token)",
    "feature_matching_loss": "feature-matching loss",
    "alignment": "alignment (high is like the text)",
    "diversity": "diversity (high is alike)",
}


def comparison_table(summary: Mapping[str, Any], title: str) -> Any:
    """Before, after, difference and its standard error over held-out sequences."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("held out")
    for name in ("before", "after", "difference", "standard error"):
        table.add_column(name, justify="right")
    for name, label in LABELS.items():
        table.add_row(
            label,
            f"{summary['before'][name]:.4f}",
            f"{summary['after'][name]:.4f}",
            f"{summary['difference'][name]:+.4f}",
            f"{summary['standard_error'][name]:.4f}",
        )
    return table


def measurement_table(means: Mapping[str, float], errors: Mapping[str, float], title: str) -> Any:
    """Means and their standard errors over held-out sequences."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in ("held out", "mean", "standard error"):
        table.add_column(name, justify="left" if name == "held out" else "right")
    for name, label in LABELS.items():
        table.add_row(label, f"{means[name]:.4f}", f"{errors[name]:.4f}")
    return table


def continuation_table(before: Sequence[Continuation], after: Sequence[Continuation]) -> Any:
    """Held-out prompts with what was written after them before and after training."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title="the same draws, before and after", title_justify="left", show_lines=True)
    for name in ("prompt (its end)", "before", "after", "the real text"):
        table.add_column(name, overflow="fold", ratio=1)
    for old, new in zip(before, after, strict=True):
        table.add_row(*(Text(text) for text in (old.prompt, old.written, new.written, new.real)))
    return table
