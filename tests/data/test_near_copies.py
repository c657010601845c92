from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebmlm.data import NearCopies, Overlap, Pair
from ebmlm.errors import UserError


def pair(prompt: str, completion: str = "") -> Pair:
    return Pair("key", prompt, completion)


def similarity(left: str, right: str) -> float:
    """Jaccard similarity of word trigrams, worked out slowly."""
    sets = []
    for text in (left, right):
        words = text.split()
        short = {tuple(words)} if len(words) < 3 else set()
        sets.append(short | {tuple(words[at : at + 3]) for at in range(len(words) - 2)})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


TEXTS = st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=9).map(" ".join), max_size=8)
THRESHOLDS = st.sampled_from([0.05, 0.2, 1 / 3, 0.5, 2 / 3, 0.8, 1.0])


@given(TEXTS, TEXTS, THRESHOLDS)
def test_search_equals_comparing_all(left: list[str], right: list[str], threshold: float) -> None:
    near = [
        (i, j)
        for i, one in enumerate(left)
        for j, other in enumerate(right)
        if similarity(one, other) >= threshold - 1e-12
    ]
    overlap = NearCopies(threshold)([pair(each) for each in left], [pair(each) for each in right])
    expected = Overlap(sorted({i for i, _ in near}), sorted({j for _, j in near}))
    assert overlap == expected


def test_threshold_is_inclusive() -> None:
    # Trigrams abc bcd cde, and abc bcd cdf: two of four are in both.
    left, right = [pair("a b c d e")], [pair("a b c d f")]
    assert NearCopies(0.5)(left, right) == Overlap([0], [0])
    assert NearCopies(0.51)(left, right) == Overlap([], [])


def test_words_are_compared_and_not_their_writing() -> None:
    left, right = (
        [pair("Choose Format - Cell; tab.", "A")],
        [pair("choose  format (cell) TAB", "a")],
    )
    assert NearCopies(1.0)(left, right).train == [0]
    assert NearCopies(1.0)([pair("+ -")], [pair("+  -")]).train == [0]
    assert NearCopies(1.0)([pair("+ -")], [pair("- +")]).train == []


def test_prompts_alone_may_be_compared() -> None:
    left, right = [pair("a b c", "x y z w")], [pair("a b c", "1 2 3 4")]
    assert NearCopies(0.5)(left, right).train == []
    assert NearCopies(0.5, prompts=True)(left, right).train == [0]
    # Without prompts, completions tell texts apart.
    left, right = [pair("", "x y z"), pair("", "1 2 3")], [pair(" ", "1 2 3")]
    assert NearCopies(0.5, prompts=True)(left, right) == Overlap([1], [0])


def test_conversations_are_compared_by_their_contents() -> None:
    ask, answer = [{"role": "user", "content": "a b"}], [{"role": "assistant", "content": "c"}]
    assert NearCopies(1.0)([Pair("k", ask, answer)], [pair("a b c")]).train == [0]


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.1, float("nan")])
def test_threshold_out_of_range_is_refused(threshold: float) -> None:
    with pytest.raises(UserError, match=f"threshold is {threshold}; .* above 0 and at most 1"):
        NearCopies(threshold)
