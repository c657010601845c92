"""What happens beside training: metrics written down, gradients watched, progress shown."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ebmlm.objectives.base import Objective
from ebmlm.state import Gather
from ebmlm.training.budget import Budget
from ebmlm.training.clock import TrainingClock
from ebmlm.training.diverged import TrainingDiverged

__all__ = ["EndOfStep", "FiniteGradients", "MetricsFile", "ProgressLine"]


class MetricsFile(TrainerCallback):
    """Appends every logged measurement to a file, one JSON object a line, as it comes.

    Args:
        path: the file.
        clock: says how long the run has trained, evaluations aside.
    """

    def __init__(self, path: Path, clock: TrainingClock) -> None:
        self.path = path
        self._clock = clock
        self._start = time.monotonic()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write a line: step, seconds since the start, seconds of training, what was logged."""
        if not state.is_world_process_zero or not logs:
            return
        seconds = round(time.monotonic() - self._start, 3)
        times = {"seconds": seconds, "training_seconds": round(self._clock.seconds, 3)}
        line = {"step": state.global_step, **times, **logs}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


class EndOfStep(TrainerCallback):
    """Tells the objective that an optimiser step is over, for parts that keep a running state.

    Args:
        objective: is told.
        gather: brings tensors of all processes together.
    """

    def __init__(self, objective: Objective, gather: Gather) -> None:
        self._objective = objective
        self._gather = gather

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Tell it, before a checkpoint is written."""
        self._objective.end_step(self._gather)


class FiniteGradients(TrainerCallback):
    """Stops training before a gradient that is not finite reaches the weights."""

    def on_pre_optimizer_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: torch.nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        """Look at every gradient.

        Raises:
            TrainingDiverged: naming the step and the first parameter.
        """
        assert model is not None
        for name, parameter in model.named_parameters():
            if parameter.grad is not None and not parameter.grad.isfinite().all():
                raise TrainingDiverged(
                    f"the gradient of {name} is not finite at step {state.global_step + 1}:"
                    " training stops before the weights change; the last checkpoint is kept"
                )


class ProgressLine(TrainerCallback):
    """A progress bar with the metrics that matter; plain lines where there is no terminal.

    Args:
        console: of rich; standard error by default.
        budget: what ends the run, where that is not its number of steps.
    """

    shown: Mapping[str, str] = {
        "reward": "reward",
        "alignment": "align",
        "diversity": "div",
        "cross_entropy": "ce",
        "nce_loss": "nce",
        "ranking_accuracy": "rank",
        "grad_norm": "grad",
    }

    def __init__(self, console: Any = None, budget: Budget | None = None) -> None:
        from rich.console import Console

        self._console = console or Console(stderr=True)
        self._budget = budget
        self._progress: Any = None
        self._task: Any = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Open the bar, at the step that training starts from."""
        if not state.is_world_process_zero:
            return
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.table import Column

        if self._console.is_terminal:
            self._progress = Progress(
                BarColumn(bar_width=10),
                MofNCompleteColumn(),
                TimeRemainingColumn(compact=True),
                # Gives way first where the terminal is narrow.
                TextColumn(
                    "{task.fields[metrics]}",
                    table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
                ),
                console=self._console,
                expand=True,
            )
            done, total = self._done(state)
            self._task = self._progress.add_task(
                "training", total=total, completed=done, metrics=""
            )
            self._progress.start()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Advance the bar."""
        if self._progress is not None:
            self._progress.update(self._task, completed=self._done(state)[0])

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Show the metrics that matter."""
        if not state.is_world_process_zero or not logs or "loss" not in logs:
            return
        text = "  ".join(
            f"{label} {float(logs[name]):.3g}" for name, label in self.shown.items() if name in logs
        )
        if self._progress is not None:
            self._progress.update(self._task, metrics=text)
        else:
            done, total = self._done(state)
            of = f"/{total}" if self._budget is None else f" ({done} %)"
            self._console.print(
                f"step {state.global_step}{of}  {text}", highlight=False, style=None
            )

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Close the bar."""
        self.close()

    def _done(self, state: TrainerState) -> tuple[int, int]:
        """How much is done and how much there is: steps, or per cent of the budget."""
        if self._budget is None:
            return state.global_step, state.max_steps
        return min(100, int(100 * self._budget.share(state))), 100

    def close(self) -> None:
        """Close the bar, also where training was cut short."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
