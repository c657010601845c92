"""A run folder: what is in it, and how it is written without ever leaving half a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ebmlm.evaluation.plots import plot_curves
from ebmlm.evaluation.report import EvaluationReport

__all__ = ["RunFolder"]


class RunFolder:
    """The files of a run.

    - ``checkpoint/``: the trained model, as ``AutoModelForCausalLM.from_pretrained`` loads it; of
      an adapter, the adapter alone, as :func:`ebmlm.load` does.
    - ``checkpoint-N/``: states to resume from, where they were asked for.
    - ``metrics.jsonl``: every logged measurement.
    - ``before.json`` and ``after.json``: the held-out evaluations, sequence by sequence.
    - ``summary.json`` and ``curves.png``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = path / "checkpoint"
        self.metrics = path / "metrics.jsonl"
        self.summary = path / "summary.json"
        self.curves = path / "curves.png"
        self.before = path / "before.json"
        self.after = path / "after.json"

    def last_checkpoint(self) -> str | None:
        """The newest state to resume from, or None."""
        from transformers.trainer_utils import get_last_checkpoint

        return get_last_checkpoint(str(self.path))

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Write ``summary.json``."""
        self._write(self.summary, summary)

    def write_before(self, report: EvaluationReport) -> None:
        """Keep the evaluation before training, for a resumed run to compare with."""
        self._write(self.before, report.to_json())

    def write_after(self, report: EvaluationReport) -> None:
        """Keep the evaluation after training, for other runs to compare with."""
        self._write(self.after, report.to_json())

    def read_before(self) -> EvaluationReport | None:
        """Return the evaluation before training, or None where there is none yet."""
        return _read(self.before)

    def read_after(self) -> EvaluationReport | None:
        """Return the evaluation after training, or None where there is none yet."""
        return _read(self.after)

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


def _read(path: Path) -> EvaluationReport | None:
    if not path.exists():
        return None
    return EvaluationReport.from_json(json.loads(path.read_text(encoding="utf-8")))
