"""A run folder: what is in it, and how it is written without ever leaving half a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from ebmlm.evaluation.plots import plot_curves
from ebmlm.evaluation.report import EvaluationReport, Measurement

__all__ = ["RunFolder"]


class RunFolder:
    """The files of a run.

    - ``checkpoint/``: the trained model, as ``AutoModelForCausalLM.from_pretrained`` loads it.
    - ``checkpoint-N/``: states to resume from, where they were asked for.
    - ``metrics.jsonl``: every logged measurement.
    - ``before.json``: the held-out evaluation before training, sequence by sequence.
    - ``summary.json`` and ``curves.png``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = path / "checkpoint"
        self.metrics = path / "metrics.jsonl"
        self.summary = path / "summary.json"
        self.curves = path / "curves.png"
        self.before = path / "before.json"

    def last_checkpoint(self) -> str | None:
        """The newest state to resume from, or None."""
        from transformers.trainer_utils import get_last_checkpoint

        return get_last_checkpoint(str(self.path))

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Write ``summary.json``."""
        self._write(self.summary, summary)

    def write_before(self, report: EvaluationReport) -> None:
        """Keep the evaluation before training, for a resumed run to compare with."""
        measured = {
            name: {"totals": value.totals.tolist(), "counts": value.counts.tolist()}
            for name, value in report.measurements.items()
        }
        self._write(self.before, {"ids": report.ids.tolist(), "measurements": measured})

    def read_before(self) -> EvaluationReport | None:
        """Return the evaluation before training, or None where there is none yet."""
        if not self.before.exists():
            return None
        kept = json.loads(self.before.read_text(encoding="utf-8"))
        return EvaluationReport(
            torch.tensor(kept["ids"]),
            {
                name: Measurement(
                    torch.tensor(value["totals"], dtype=torch.float64),
                    torch.tensor(value["counts"]),
                )
                for name, value in kept["measurements"].items()
            },
        )

    def draw(
        self, before: EvaluationReport, after: EvaluationReport, steps: int, console: Any
    ) -> None:
        """Draw ``curves.png``, or say why not."""
        try:
            plot_curves(self.metrics, self.curves, before=before, after=after, steps=steps)
        except ModuleNotFoundError as error:
            console.print(
                f"no curves.png: {error.name} is not installed (pip install 'ebmlm[demo]')",
                highlight=False,
            )

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        partial = path.with_name(path.name + ".partial")
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        partial.replace(path)
