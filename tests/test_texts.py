"""Rollouts as attempts: which prompt, which item, which text."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch

from ebmlm.distribution import Categorical
from ebmlm.errors import UserError
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.texts import Texts


class Letters:
    """Tokens from 2 on are letters, 1 a space, 0 special; a text loses a leading space."""

    def decode(self, tokens: list[int], skip_special_tokens: bool = False, **options: Any) -> str:
        assert skip_special_tokens
        return "".join("_ abcdefgh"[token] for token in tokens if token).lstrip()


def texts(items: dict[int, dict[str, Any]]) -> Texts:
    return Texts(cast(Any, Letters()), items)


def rollouts(batch: SequenceBatch, anchors: list[int], completions: list[list[int]]) -> Rollouts:
    """One row; the same completions at each anchor, cut after a 0."""
    drawn = torch.tensor(completions).expand(1, len(anchors), -1, -1)
    ended = (drawn == 0).long().cumsum(-1)
    mask = (ended == 0) | ((drawn == 0) & (ended == 1))
    places = torch.tensor([anchors])
    return Rollouts.given(batch, places, places > 0, drawn, Categorical(), completion_mask=mask)


PAIRS = SequenceBatch.of(
    torch.tensor([[2, 3, 4, 5, 0, 6, 7, 0]]),
    documents=torch.tensor([[90, 90, 90, 90, 90, 41, 41, 41]]),
    targets=torch.tensor([[False, False, True, True, True, False, True, True]]),
)
ITEMS: dict[int, dict[str, Any]] = {
    90: {"prompt": "ab", "completion": "cd", "extra": 1},
    41: {"prompt": "e", "completion": "f"},
}


def test_an_attempt_is_the_whole_completion() -> None:
    written = texts(ITEMS).attempts(rollouts(PAIRS, [2, 3, 6], [[8, 0, 8], [9, 9, 9]]))
    said = [(each.place, each.attempt.prompt, each.attempt.completion) for each in written]
    assert said == [
        ((0, 0, 0), "ab", "g"),
        ((0, 0, 1), "ab", "hhh"),
        ((0, 1, 0), "ab", "cg"),
        ((0, 1, 1), "ab", "chhh"),
        ((0, 2, 0), "e", "g"),
        ((0, 2, 1), "e", "hhh"),
    ]
    assert written[0].attempt.row is ITEMS[90]


def test_invalid_anchors_are_nobody() -> None:
    assert texts(ITEMS).attempts(rollouts(PAIRS, [0], [[8, 8]])) == []


def test_raw_text_is_a_prompt_without_an_item() -> None:
    batch = SequenceBatch.of(torch.tensor([[2, 3, 4, 5]]))
    (one,) = texts({}).attempts(rollouts(batch, [2], [[8, 9]]))
    assert (one.attempt.prompt, one.attempt.completion, one.attempt.row) == ("ab", "gh", {})


def test_a_leading_space_is_kept() -> None:
    class Spaced(Letters):
        def decode(
            self, tokens: list[int], skip_special_tokens: bool = False, **options: Any
        ) -> str:
            return " ".join("_ abcdefgh"[token + 1] for token in tokens)

    given = Texts(cast(Any, Spaced()), {})
    assert given.after(torch.tensor([1, 2]), torch.tensor([3, 4])) == " c d"


def test_texts_of_other_data_are_refused() -> None:
    with pytest.raises(UserError, match="no item 41 among the 1 known"):
        texts({90: ITEMS[90]}).attempts(rollouts(PAIRS, [6], [[8, 8]]))
