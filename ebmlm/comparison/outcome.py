"""What an arm of a comparison found, read back from its run folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ebmlm.evaluation.report import EvaluationReport
from ebmlm.training.run_folder import RunFolder

__all__ = ["ArmOutcome"]


@dataclass(frozen=True, eq=False)
class ArmOutcome:
    """A finished arm.

    Attributes:
        name: of the arm.
        before: the held-out evaluation of the common start.
        after: the one after training.
        summary: what the run wrote down: steps, seconds, data.
        curve: held-out means during training, in order: ``step``, ``training_seconds`` and a
            number for every measurement; the first is the start and the last the end.
    """

    name: str
    before: EvaluationReport
    after: EvaluationReport
    summary: dict[str, Any]
    curve: list[dict[str, float]]

    @classmethod
    def read(cls, name: str, folder: RunFolder) -> ArmOutcome | None:
        """Return what ``folder`` holds, or None where the run has not come to its end."""
        before, after = folder.read_before(), folder.read_after()
        if before is None or after is None or not folder.summary.exists():
            return None
        summary = json.loads(folder.summary.read_text(encoding="utf-8"))
        start = {"step": 0, "training_seconds": 0.0, **before.means()}
        end = {
            "step": summary["steps"],
            "training_seconds": summary["training_seconds"],
            **after.means(),
        }
        between = [line for line in _evaluations(folder.metrics) if line["step"] < end["step"]]
        return cls(name, before, after, summary, [start, *between, end])


def _evaluations(metrics: Path) -> list[dict[str, float]]:
    """The held-out means during training; of a step evaluated twice (resumed), the last."""
    found: dict[int, dict[str, float]] = {}
    for line in metrics.read_text(encoding="utf-8").splitlines():
        logged = json.loads(line)
        held_out = {
            name.removeprefix("eval_"): value
            for name, value in logged.items()
            if name.startswith("eval_") and not name.endswith("_standard_error")
        }
        if held_out:
            times = {name: logged[name] for name in ("step", "training_seconds")}
            found[logged["step"]] = {**times, **held_out}
    return [found[step] for step in sorted(found)]
