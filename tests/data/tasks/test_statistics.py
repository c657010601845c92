from __future__ import annotations

from typing import Any

import pytest

from ebmlm.data import Corpus, Document, HashSplit, NearCopies, Pair, PairSource, StandardLibrary
from ebmlm.data.tasks.statistics import Lengths, SourceStatistics, is_source


class Words:
    """A tokeniser whose tokens are words."""

    def __call__(self, texts: list[str], **options: Any) -> dict[str, list[list[int]]]:
        assert options["add_special_tokens"] is False
        return {"input_ids": [list(range(len(text.split()))) for text in texts]}


def pairs(number: int) -> Corpus[Pair]:
    items = [
        Pair(f"k{place}", "a b c", " ".join(["d"] * (place + 1)), {}) for place in range(number)
    ]
    return Corpus(items, {"long": 3})


def test_lengths_by_hand() -> None:
    assert Lengths.of([5, 1, 3]) == Lengths(total=9, median=3, nine_tenths=3, longest=5)
    assert Lengths.of(list(range(1, 12))) == Lengths(66, 6, 10, 11)


def test_pairs_in_tokens() -> None:
    corpus = pairs(200)
    split = HashSplit(0.2, test=0.2)
    found = SourceStatistics.of(corpus, split, Words())  # type: ignore[arg-type]
    assert (found.items, found.keys, found.skipped) == (200, 200, {"long": 3})
    division = split.divide(corpus)
    sizes = {name: part["items"] for name, part in found.parts.items()}
    assert sizes == {
        "train": len(division.train),
        "validation": len(division.validation),
        "test": len(division.test),
    }
    assert (
        sum(part["lengths"]["completion"].total for part in found.parts.values()) == 200 * 201 / 2
    )
    # Three words, up to n more, and the end: 4 + n tokens.
    assert sum(part["fit"][128] for part in found.parts.values()) == 124
    assert sum(part["fit"][256] for part in found.parts.values()) == 200


def test_documents_in_characters() -> None:
    corpus = Corpus([Document(f"k{place}", "x" * (place + 1)) for place in range(50)])
    found = SourceStatistics.of(corpus, HashSplit(0.3))
    assert found.unit == "characters"
    assert set(found.parts) == {"train", "validation"}
    assert sum(part["lengths"]["text"].total for part in found.parts.values()) == 50 * 51 / 2


def test_what_is_too_small_to_split_is_one_part() -> None:
    found = SourceStatistics.of(pairs(1), HashSplit(0.5, test=0.3))
    assert list(found.parts) == ["all"]
    assert "none of 1 documents is" in found.unsplit


def test_near_copies_are_counted_on_both_sides() -> None:
    words = "the quick brown fox jumps over the lazy dog near the river"
    items = [Pair(str(place), f"{words} {place}", "yes", {}) for place in range(40)]
    found = SourceStatistics.of(
        Corpus(items), HashSplit(0.2, test=0.2), near_copies=NearCopies(0.5)
    )
    assert found.near_copies is not None
    counts = dict(found.near_copies)
    assert counts.pop("threshold") == 0.5
    assert counts == {name: part["items"] for name, part in found.parts.items()}


@pytest.mark.parametrize("part", [PairSource, Pair, StandardLibrary(), "StandardLibrary"])
def test_only_classes_that_can_be_built_are_sources(part: object) -> None:
    assert is_source(StandardLibrary)
    assert not is_source(part)
