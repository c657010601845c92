from __future__ import annotations

import pytest

from ebmlm.evaluation import repetition


@pytest.mark.parametrize(
    ("text", "order", "share"),
    [
        ("aaaaaaaa", 4, 0.8),  # five, of one kind
        ("abcdefgh", 4, 0.0),
        ("abcdabcd", 4, 0.2),  # abcd twice of five
        ("abab", 1, 0.5),
        ("abc", 4, 0.0),  # too short for one
        ("", 4, 0.0),
    ],
)
def test_the_share_of_n_grams_that_were_there_before(text: str, order: int, share: float) -> None:
    assert repetition(text, order) == pytest.approx(share)
