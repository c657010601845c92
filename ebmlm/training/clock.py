"""How long a run has trained: time spent on evaluations does not count."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

__all__ = ["TrainingClock"]


class TrainingClock(TrainerCallback):
    """Counts the seconds of training, over interruptions too.

    Args:
        metrics: the run's metrics.jsonl, whose lines say how long an interrupted run had trained.
    """

    def __init__(self, metrics: Path) -> None:
        self._metrics = metrics
        self._spent = 0.0
        self._since: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds of training so far."""
        running = 0.0 if self._since is None else time.monotonic() - self._since
        return self._spent + running

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count what happens inside."""
        running = self._since is not None
        self._stop()
        try:
            yield
        finally:
            if running:
                self._since = time.monotonic()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start, from where an interrupted run had come."""
        self._spent = _trained(self._metrics, state.global_step)
        self._since = time.monotonic()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Stop."""
        self._stop()

    def _stop(self) -> None:
        if self._since is not None:
            self._spent += time.monotonic() - self._since
            self._since = None


def _trained(metrics: Path, step: int) -> float:
    """Seconds of training that a run's lines give for ``step``; 0 at its start."""
    if step == 0 or not metrics.exists():
        return 0.0
    lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    trained = [line.get("training_seconds", 0.0) for line in lines if line["step"] <= step]
    return float(max(trained, default=0.0))
