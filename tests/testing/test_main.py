"""``python -m ebmlm.testing``: its tables, and its exit status."""

from __future__ import annotations

import dataclasses

import pytest

from ebmlm.estimators import RLOO, Reinforce
from ebmlm.testing import __main__ as program
from ebmlm.testing.bugs import Bug
from ebmlm.testing.bugs.estimators import LiveAdvantages, NaiveLeaveOneOut
from ebmlm.testing.catalogue import ESTIMATORS
from ebmlm.testing.laws.estimator import gradient_flows_through_log_probs_only
from ebmlm.testing.laws.expectation import unbiased

CAUGHT = Bug("live", LiveAdvantages, gradient_flows_through_log_probs_only)
KIND = dataclasses.replace(ESTIMATORS, implementations={"ours": RLOO}, bugs=(CAUGHT,))


def run(monkeypatch: pytest.MonkeyPatch, kind: object, *words: str) -> int:
    monkeypatch.setattr(program, "KINDS", (kind,))
    monkeypatch.setenv("COLUMNS", "200")
    return program.main(words)


def test_all_is_well(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, KIND, "--examples", "20", "--kind", "estimators") == 0
    shown = capsys.readouterr().out
    for words in ("unbiased", "1 ours", "caught", "11 laws, 1 implementations, 1 deliberate bugs"):
        assert words in shown
    assert "every law holds on ours, and every bug is caught" in shown


def test_a_broken_law_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = dataclasses.replace(KIND, implementations={"ours": NaiveLeaveOneOut})
    assert run(monkeypatch, broken, "--examples", "20") == 1
    shown = capsys.readouterr().out
    assert "BROKEN" in shown
    assert "ours breaks unbiased" in shown
    assert "expected gradient: off by" in shown


def test_a_bug_that_gets_through_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missed = dataclasses.replace(KIND, bugs=(Bug("none at all", Reinforce, unbiased),))
    assert run(monkeypatch, missed, "--examples", "10") == 1
    assert "none at all gets past unbiased" in capsys.readouterr().out


def test_kinds_are_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.main(["--kind", "tokenisers"])
    assert "feature maps" in capsys.readouterr().err
