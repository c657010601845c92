"""A verifier's scores as energies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
import torch

from ebmlm.energies import LengthEnergy, VerifierEnergy
from ebmlm.errors import UserError
from ebmlm.rollouts import Scores
from ebmlm.texts import Attempt, Texts
from ebmlm.verifiers import FunctionVerifier, Verifier
from tests.test_texts import ITEMS, PAIRS, Letters, rollouts, texts


def scored(drawn: Any) -> Scores:
    return Scores(torch.zeros(drawn.completions.shape, dtype=torch.float64))


def test_the_reward_is_the_score() -> None:
    drawn = rollouts(PAIRS, [2, 6, 0], [[8, 0, 8], [9, 9, 9]])
    seen: list[Attempt] = []

    def count(prompt: str, completion: str, row: Any) -> float:
        seen.append(Attempt(prompt, completion, row))
        return completion.count("h") / 3 * (prompt == "ab")

    terms = VerifierEnergy(FunctionVerifier(count), texts(ITEMS))(drawn, scored(drawn))
    assert terms.unary.tolist() == [[[0, -1], [0, 0], [0, 0]]]
    assert terms.unary.dtype == torch.float64
    assert terms.pairwise is None
    assert terms.metrics["score"][0, :2].tolist() == [0.5, 0]
    assert terms.metrics["solved"][0, :2].tolist() == [0.5, 0]
    assert terms.metrics["undecided"][0, :2].tolist() == [1, 0]
    assert [(each.prompt, each.row) for each in seen[:2]] == [("ab", ITEMS[90])] * 2


class Wrong(Verifier):
    def __init__(self, scores: list[float]) -> None:
        self.scores = scores

    def __call__(self, attempts: Sequence[Attempt]) -> list[float]:
        return self.scores


@pytest.mark.parametrize(
    ("scores", "words"),
    [([1.0], "1 scores for 2 attempts"), ([1.0, float("nan")], "not finite")],
)
def test_a_verifier_that_is_wrong_is_told(scores: list[float], words: str) -> None:
    drawn = rollouts(PAIRS, [2], [[8, 0], [9, 9]])
    with pytest.raises(UserError, match=words):
        VerifierEnergy(Wrong(scores), texts(ITEMS))(drawn, scored(drawn))


def test_no_anchor_no_attempt() -> None:
    drawn = rollouts(PAIRS, [0], [[8, 0], [9, 9]])
    terms = VerifierEnergy(Wrong([]), Texts(cast(Any, Letters()), ITEMS))(drawn, scored(drawn))
    assert terms.unary.tolist() == [[[0, 0]]]


def test_length_beyond_what_is_free() -> None:
    drawn = rollouts(PAIRS, [2], [[8, 0, 8], [9, 9, 9]])
    assert LengthEnergy()(drawn, scored(drawn)).unary.tolist() == [[[2, 3]]]
    terms = LengthEnergy(free=2)(drawn, scored(drawn))
    assert terms.unary.tolist() == [[[0, 1]]]
    assert float(terms.metrics["excess_length"]) == 0.5
    with pytest.raises(UserError, match="free is -1"):
        LengthEnergy(-1)
