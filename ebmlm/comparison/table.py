"""The table of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ebmlm.comparison.outcome import ArmOutcome
from ebmlm.evaluation.figures import Figure, differences, figures

__all__ = ["as_json", "as_markdown"]


def as_json(outcomes: Sequence[ArmOutcome], failed: dict[str, str]) -> dict[str, Any]:
    """Every figure of every arm, and its paired differences from the start and the other arms.

    ``difference`` is an arm's end less the common start; ``against`` its end less another arm's
    end, on the same items.
    """
    arms = {}
    for outcome in outcomes:
        arms[outcome.name] = {
            "steps": outcome.summary["steps"],
            "training_seconds": outcome.summary["training_seconds"],
            "tokens": outcome.summary["tokens"],
            "after": _as_json(figures(outcome.after)),
            "difference": _as_json(differences(outcome.after, outcome.before)),
            "against": {
                other.name: _as_json(differences(outcome.after, other.after))
                for other in outcomes
                if other is not outcome
            },
            "curve": outcome.curve,
        }
    start = _as_json(figures(outcomes[0].before)) if outcomes else {}
    return {"start": start, "arms": arms, "failed": failed}


def _as_json(found: Mapping[str, Figure]) -> dict[str, Any]:
    return {name: figure.to_json() for name, figure in found.items()}


def as_markdown(outcomes: Sequence[ArmOutcome]) -> str:
    """The same as a table: a line for each figure, a column for each arm.

    Each cell has the arm's end, and in brackets its paired difference from the start with the
    difference's standard error.
    """
    start = figures(outcomes[0].before)
    header = ["held out", "items", "start", *(outcome.name for outcome in outcomes)]
    lines = [header, ["---", *["--:"] * (len(header) - 1)]]
    changes = [differences(outcome.after, outcome.before) for outcome in outcomes]
    ends = [figures(outcome.after) for outcome in outcomes]
    for name, first in start.items():
        cells = [name, str(first.items), f"{first.value:.4f}"]
        for end, change in zip(ends, changes, strict=True):
            by = change.get(name)
            told = "" if by is None else f" ({by.value:+.4f} ± {by.standard_error:.4f})"
            cells.append(f"{end[name].value:.4f}{told}")
        lines.append(cells)
    for label, key in (("steps", "steps"), ("seconds of training", "training_seconds")):
        lines.append([label, "", "", *(f"{outcome.summary[key]:.0f}" for outcome in outcomes)])
    lines.append(["tokens of text", "", "", *(f"{one.summary['tokens']:,}" for one in outcomes)])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"
