"""Verifiers that compare texts."""

from __future__ import annotations

import pytest

from ebmlm.errors import UserError
from ebmlm.texts import Attempt
from ebmlm.verifiers import (
    Bleu,
    ChrF,
    ExactMatch,
    RegularExpression,
    case_folded,
    first_line,
    single_spaces,
    stripped,
)


def attempts(*completions: str, **row: str) -> list[Attempt]:
    return [Attempt("", completion, row) for completion in completions]


def test_exact_match():
    given = attempts("4", " 4\n", "5", "4 4", completion="4")
    assert ExactMatch()(given) == [1, 1, 0, 0]
    assert ExactMatch(normalise=())(given) == [1, 0, 0, 0]
    assert ExactMatch(column="answer")(attempts("x", completion="x", answer="y")) == [0]


def test_normalisers_are_composed_in_order():
    given = attempts("\n The  Answer \nand more", completion="the answer")
    assert ExactMatch((first_line, single_spaces, case_folded))(given) == [1]
    assert ExactMatch((first_line, stripped, case_folded))(given) == [0]
    assert ExactMatch((single_spaces, case_folded))(given) == [0]
    assert first_line(" \n") == ""


@pytest.mark.parametrize(
    "verifier", [ExactMatch(column="answer"), RegularExpression("x", "answer")]
)
def test_missing_columns_are_refused(verifier):
    with pytest.raises(UserError, match="no column 'answer', only completion"):
        verifier(attempts("x", completion="x"))
    with pytest.raises(UserError, match="must be a text"):
        verifier([Attempt("", "x", {"answer": 3})])


def test_regular_expression_matches():
    assert RegularExpression(r"\d+")(attempts("a 12", "b")) == [1, 0]
    assert RegularExpression(r"(?i)^yes\b")(attempts("Yes, so", "oh yes")) == [1, 0]


def test_the_last_group_must_equal_the_column():
    verifier = RegularExpression(r"answer is (\S+)", column="answer")
    given = attempts(
        "answer is 3",
        "answer is 3 no, answer is 4",
        "answer is 4 no, answer is 3",
        "3",
        answer="3 ",
    )
    assert verifier(given) == [1, 0, 1, 0]
    assert RegularExpression(r"\d+", column="answer")(attempts("1 3", answer="3")) == [1]
    # A group that took no part is empty, and nothing is not equal to an answer.
    assert RegularExpression(r"(a)?b", column="answer")(attempts("b", answer="a")) == [0]


def test_bad_patterns_and_times_are_refused():
    with pytest.raises(UserError, match=r"'\(' is no regular expression"):
        RegularExpression("(")
    for seconds in (0, -1, float("nan"), float("inf")):
        with pytest.raises(UserError, match="seconds"):
            RegularExpression("x", seconds=seconds)


def test_catastrophic_backtracking_ends_and_is_logged(caplog):
    verifier = RegularExpression(r"^(a|aa)+$", seconds=0.2)
    # As many ways to split as the sixtieth Fibonacci number: days.
    given = attempts("a" * 60 + "!", "aaa")
    assert verifier(given) == [0, 1]
    assert "1 of 2 completions" in caplog.text


def test_chrf_by_hand():
    """One character n-gram order, worked out: precision 2/4, recall 2/2, beta 2."""
    pytest.importorskip("sacrebleu")
    assert ChrF()(attempts("the cat", "", "xyz", completion="the cat")) == [1, 0, 0]
    (score,) = ChrF()(attempts("abcd", completion="ab"))
    # Order 1: P 2/4, R 2/2. Order 2: P 1/3, R 1/1. Higher orders have no reference n-grams.
    precision, recall = (2 / 4 + 1 / 3) / 2, 1.0
    assert score == pytest.approx(5 * precision * recall / (4 * precision + recall))


def test_bleu_by_hand():
    pytest.importorskip("sacrebleu")
    assert Bleu()(attempts("the cat sat", "", completion="the cat sat")) == [1, 0]
    (score,) = Bleu()(attempts("the cat sat on a mat", completion="the cat sat on the mat"))
    # n-gram precisions, no brevity penalty.
    expected = (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25
    assert score == pytest.approx(expected)


def test_metrics_read_their_column_and_their_threshold():
    pytest.importorskip("sacrebleu")
    for metric in (ChrF, Bleu):
        verifier = metric(column="summary", solved_from=0.5)
        assert verifier.solved_from == 0.5
        assert verifier(attempts("a b c d", summary="a b c d")) == pytest.approx([1])
        with pytest.raises(UserError, match="summary"):
            verifier(attempts("x", completion="x"))
