"""Budgets: training ends where they are spent, with evaluations on the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerControl, TrainerState

from ebmlm.errors import UserError
from ebmlm.training import MetricsFile
from ebmlm.training.budget import SecondsBudget, TokensBudget
from ebmlm.training.clock import TrainingClock
from tests.training.runs import BATCH, Rows, trainer


class Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Hand:
    hand = Hand()
    monkeypatch.setattr("ebmlm.training.clock.time.monotonic", hand)
    return hand


def started(clock: TrainingClock, step: int = 0) -> TrainingClock:
    clock.on_train_begin(_ANY, TrainerState(global_step=step), TrainerControl())
    return clock


_ANY: Any = None


def test_evaluations_do_not_count(tmp_path: Path, hand: Hand) -> None:
    clock = started(TrainingClock(tmp_path / "metrics.jsonl"))
    hand.seconds = 3
    with clock.paused():
        hand.seconds = 10
        assert clock.seconds == 3
    hand.seconds = 12
    assert clock.seconds == 5
    clock.on_train_end(_ANY, TrainerState(), TrainerControl())
    with clock.paused():
        hand.seconds = 20
    hand.seconds = 30
    assert clock.seconds == 5


def test_an_interrupted_run_goes_on_from_its_seconds(tmp_path: Path, hand: Hand) -> None:
    metrics = tmp_path / "metrics.jsonl"
    lines = [{"step": step, "training_seconds": 2.5 * step} for step in (1, 2, 3)]
    metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    clock = started(TrainingClock(metrics), step=2)
    hand.seconds = 1
    assert clock.seconds == 6
    assert started(TrainingClock(metrics)).seconds == 0


def test_seconds_with_evaluations_on_the_way(tmp_path: Path, hand: Hand) -> None:
    clock = started(TrainingClock(tmp_path / "metrics.jsonl"))
    budget = SecondsBudget(9, clock, evaluations=2)
    budget.on_train_begin(_ANY, TrainerState(), TrainerControl())
    seen = []
    for second in range(1, 11):
        hand.seconds = second
        control = TrainerControl()
        budget.on_step_end(_ANY, TrainerState(), control)
        assert control.should_save == control.should_evaluate
        seen.append((control.should_evaluate, control.should_training_stop))
    assert [place for place, (evaluate, _) in enumerate(seen, 1) if evaluate] == [3, 6]
    assert [place for place, (_, stop) in enumerate(seen, 1) if stop] == [9, 10]


def test_tokens_of_text_are_counted_by_the_trainer(tmp_path: Path) -> None:
    rows = Rows()
    per_step = sum(len(row) for row in rows.rows) * BATCH / len(rows)
    budget = TokensBudget(int(1.5 * per_step))
    metrics = tmp_path / "metrics.jsonl"
    clock = TrainingClock(metrics)
    run = trainer(tmp_path, micro=2, callbacks=[budget, MetricsFile(metrics, clock)])
    run.train()
    assert run.state.global_step == 2
    assert 1.5 * per_step <= run.state.num_input_tokens_seen <= 2.5 * per_step


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda clock: SecondsBudget(0, clock), "seconds is 0"),
        (lambda clock: SecondsBudget(float("inf"), clock), "seconds is inf"),
        (lambda clock: SecondsBudget(1, clock, -1), "evaluations is -1"),
        (lambda clock: TokensBudget(0), "tokens is 0"),
    ],
)
def test_budgets_out_of_range(make: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words):
        make(TrainingClock(tmp_path / "metrics.jsonl"))
