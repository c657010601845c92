from __future__ import annotations

from typing import Any

import pytest
import torch

from ebmlm.errors import UserError
from ebmlm.evaluation import (
    CompletionEvaluation,
    Evaluation,
    EvaluationReport,
    Evaluations,
    HeldOutEvaluation,
    Measurement,
)
from ebmlm.features import HiddenStateFeatures
from ebmlm.samplers import BlockParallelSampler, CompletionAnchors
from tests.evaluation.pairs import knows, model, rows, texts

PAIRS = [("is it q", "y"), ("alphabet: a", "bcd"), ("q", "n")]


class Fixed(Evaluation):
    """Measures the number of rows by a given name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(
        self, model: Any, rows: Any, *, device: Any = "cpu", on_progress: Any = None
    ) -> EvaluationReport:
        if on_progress is not None:
            on_progress(len(rows), len(rows))
        ids = torch.tensor([row.id for row in rows])
        return EvaluationReport(ids, {self.name: Measurement(ids.double(), torch.ones_like(ids))})


def test_several_evaluations_are_one_report() -> None:
    table = model()
    held_out = HeldOutEvaluation(
        BlockParallelSampler(CompletionAnchors(2), 2, 2), HiddenStateFeatures(table.frozen())
    )
    completions = CompletionEvaluation(texts(PAIRS), knows(), 6, 2)
    told: list[tuple[int, int]] = []
    together = Evaluations([held_out, completions])(
        table, rows(PAIRS), on_progress=lambda done, total: told.append((done, total))
    )
    for alone in (held_out(table, rows(PAIRS)), completions(table, rows(PAIRS))):
        assert alone.measurements.keys() <= together.measurements.keys()
        for name, value in alone.measurements.items():
            assert together.measurements[name].totals.equal(value.totals)
    assert together.written == completions(table, rows(PAIRS)).written
    assert told == [(3, 6), (6, 6)]


def test_nested_ones_tell_progress_as_a_share() -> None:
    told: list[tuple[int, int]] = []
    nested = Evaluations([Evaluations([Fixed("a"), Fixed("b")]), Fixed("c")])
    nested(model(), rows(PAIRS), on_progress=lambda done, total: told.append((done, total)))
    assert [done / total for done, total in told] == [0.25, 0.5, 1.0]


def test_names_must_not_clash() -> None:
    with pytest.raises(ValueError, match="by one name: a"):
        Evaluations([Fixed("a"), Fixed("a")])(model(), rows(PAIRS))


def test_none_is_refused() -> None:
    with pytest.raises(UserError, match="at least one"):
        Evaluations([])


def test_all_are_checked_before_the_first_begins() -> None:
    ran: list[str] = []

    class Refusing(Fixed):
        def check(self, model: Any, rows: Any, *, device: Any = "cpu") -> None:
            raise UserError("not these rows")

    class Telling(Fixed):
        def __call__(self, *arguments: Any, **options: Any) -> EvaluationReport:
            ran.append(self.name)
            return super().__call__(*arguments, **options)

    together = Evaluations([Telling("a"), Evaluations([Telling("b"), Refusing("c")])])
    with pytest.raises(UserError, match="not these rows"):
        together(model(), rows(PAIRS))
    assert ran == []
