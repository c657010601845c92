from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from ebmlm.training import ProgressLine

LOGS = {
    "loss": 0.1,
    "reward": 0.7543,
    "alignment": 0.787,
    "diversity": 0.0337,
    "cross_entropy": 2.51,
    "grad_norm": 1.43,
}


def shown(width: int, terminal: bool, **state: Any) -> str:
    """What a run of one logged step leaves on a console."""
    output = io.StringIO()
    line = ProgressLine(Console(file=output, width=width, force_terminal=terminal))
    run: Any = SimpleNamespace(
        **({"is_world_process_zero": True, "global_step": 6, "max_steps": 28} | state)
    )
    nothing: Any = None
    line.on_train_begin(nothing, run, nothing)
    line.on_log(nothing, run, nothing, logs=LOGS)
    line.on_step_end(nothing, run, nothing)
    line.on_train_end(nothing, run, nothing)
    return output.getvalue()


def test_a_terminal_of_80_columns_shows_steps_and_metrics() -> None:
    text = shown(80, terminal=True)
    assert "6/28" in text
    for words in ("reward 0.754", "align 0.787", "div 0.0337", "ce 2.51"):
        assert words in text


def test_without_a_terminal_there_are_plain_lines() -> None:
    lines = shown(200, terminal=False).splitlines()
    assert lines == ["step 6/28  reward 0.754  align 0.787  div 0.0337  ce 2.51  grad 1.43"]


def test_other_processes_show_nothing() -> None:
    assert shown(80, terminal=True, is_world_process_zero=False) == ""
