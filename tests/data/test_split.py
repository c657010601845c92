from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebmlm.data import (
    Corpus,
    Document,
    HashSplit,
    HeldOutSource,
    Pair,
    PairSource,
    Part,
    TextSource,
)
from ebmlm.errors import UserError

KEYS = st.text(max_size=8)
# Few texts, so that they repeat under several keys.
DOCUMENTS = st.builds(Document, KEYS, st.sampled_from(["a", "b", "a b", " a\n b ", "c", "d"]))


@dataclass(frozen=True)
class Fixed(TextSource):
    corpus: Corpus

    def read(self) -> Corpus:
        return self.corpus


@given(
    st.lists(DOCUMENTS),
    st.floats(0.2, 0.8),
    st.sampled_from([0.0, 0.05, 0.15]),
    st.text(max_size=3),
)
def test_parts_share_neither_key_nor_text(
    documents: list[Document], fraction: float, test: float, salt: str
) -> None:
    split = HashSplit(fraction, salt, test)
    with suppress(UserError):
        check_division(split, documents)


def check_division(split: HashSplit, documents: list[Document]) -> None:
    division = split.divide(Corpus(documents))
    parts = {
        Part.TRAIN: division.train,
        Part.VALIDATION: division.validation,
        Part.TEST: division.test,
    }
    assert len(division.train) > 0
    assert len(division.validation) > 0
    assert bool(division.test) is (split.test > 0)
    for one, other in combinations(parts.values(), 2):
        assert not {each.key for each in one} & {each.key for each in other}
        assert not {" ".join(each.text.split()) for each in one} & {
            " ".join(each.text.split()) for each in other
        }
    assert sum(map(len, parts.values())) + division.duplicates == len(documents)
    for part, found in parts.items():
        assert all(split.assign(each.key) is part for each in found)
    # The last look is taken whole; what repeats it elsewhere is dropped.
    assert division.test == [each for each in documents if split.assign(each.key) is Part.TEST]
    if not split.test:
        assigned = [each for each in documents if split.assign(each.key) is Part.VALIDATION]
        assert division.validation == assigned


@given(st.lists(KEYS, unique=True), st.lists(KEYS), st.randoms(use_true_random=False))
def test_no_document_changes_sides_by_order_or_additions(
    keys: list[str], more: list[str], random: Random
) -> None:
    split = HashSplit(0.5)

    def held_out(names: list[str]) -> set[str]:
        # One document of each side, so that no part is empty.
        sure = [Document(key, f"sure {key}") for key in "03"]
        documents = [*sure, *(Document(name, f"text of {name}") for name in names)]
        return {each.key for each in split.divide(Corpus(documents)).validation}

    assert {split.assign(each) for each in "03"} == {Part.TRAIN, Part.VALIDATION}
    before = held_out(keys)
    shuffled = [*keys, *more]
    random.shuffle(shuffled)
    after = held_out(shuffled)
    assert before == {each for each in after if each in {*keys, *"03"}}


def test_assignment_is_the_same_on_every_machine() -> None:
    split = HashSplit(0.5)
    got = "".join(split.assign(str(number)).value[0] for number in range(16))
    assert got == "tttvtvtvttvtvvtv"
    three = HashSplit(0.25, test=0.25)
    names = {Part.TRAIN: "t", Part.VALIDATION: "v", Part.TEST: "x"}
    assert "".join(names[three.assign(str(number))] for number in range(16)) == "tttxtxtxttvtxxtv"


def test_a_test_part_is_taken_from_training_and_not_from_validation() -> None:
    keys = [f"file{number}" for number in range(10_000)]
    two, three = HashSplit(0.1), HashSplit(0.1, test=0.2)
    held_out = {key for key in keys if two.assign(key) is Part.VALIDATION}
    assert held_out == {key for key in keys if three.assign(key) is Part.VALIDATION}
    test = sum(three.assign(key) is Part.TEST for key in keys)
    # A binomial count is 8 standard deviations out less than once in 1e14 fresh salts.
    assert abs(test - 2000) < 8 * 40


@pytest.mark.parametrize("test", [-0.1, 0.6, 1.0, float("nan")])
def test_test_fraction_out_of_range_is_refused(test: float) -> None:
    with pytest.raises(UserError, match=f"test is {test}; .* beside validation 0.5"):
        HashSplit(0.5, test=test)


def test_texts_of_the_test_part_leave_both_others() -> None:
    split = HashSplit(0.25, test=0.25)
    by_part: dict[Part, list[str]] = {part: [] for part in Part}
    for number in range(100):
        by_part[split.assign(str(number))].append(str(number))
    documents = [
        Document(by_part[Part.TEST][0], "everywhere"),
        Document(by_part[Part.VALIDATION][0], "everywhere"),
        Document(by_part[Part.VALIDATION][1], "held out"),
        Document(by_part[Part.TRAIN][0], " everywhere"),
        Document(by_part[Part.TRAIN][1], "held  out"),
        Document(by_part[Part.TRAIN][2], "trained on"),
    ]
    division = split.divide(Corpus(documents))
    assert [each.text for each in division.test] == ["everywhere"]
    assert [each.text for each in division.validation] == ["held out"]
    assert [each.text for each in division.train] == ["trained on"]
    assert division.duplicates == 3


def test_an_empty_test_part_is_an_error() -> None:
    documents = [Document(str(number), str(number)) for number in range(20)]
    with pytest.raises(UserError, match=r"none of 20 documents is in the test part \(test=1e-09\)"):
        HashSplit(0.5, test=1e-9).divide(Corpus(documents))


@dataclass(frozen=True)
class Pairs(PairSource):
    corpus: Corpus[Pair]

    def read(self) -> Corpus[Pair]:
        return self.corpus


def test_pairs_are_split_as_documents_are() -> None:
    pairs = [Pair(str(number), f"q{number}", "a", {"n": number}) for number in range(100)]
    again = [Pair("group", f" q{number}", " a\n") for number in range(100)]
    split = HashSplit(0.2, "ebmlm", 0.2)
    assert split.assign("group") is Part.TRAIN
    division = split.divide(Corpus([*pairs, *again]))
    parts = (division.train, division.validation, division.test)
    assert sum(map(len, parts)) + division.duplicates == 200
    held_out = Pairs(Corpus(pairs[:30]))
    division = HeldOutSource(held_out).divide(Corpus([*pairs, *again]))
    assert (len(division.train), division.duplicates) == (140, 60)
    assert division.validation == pairs[:30]
    assert division.test == ()


def test_fraction_is_kept_to() -> None:
    held_out = sum(HashSplit(0.1).assign(f"file{n}") is Part.VALIDATION for n in range(10_000))
    # A binomial count is 8 standard deviations out less than once in 1e14 fresh salts.
    assert abs(held_out - 1000) < 8 * 30


def test_a_larger_fraction_only_adds_to_what_is_held_out() -> None:
    keys = [f"file{number}" for number in range(300)]
    small = {key for key in keys if HashSplit(0.1).assign(key) is Part.VALIDATION}
    large = {key for key in keys if HashSplit(0.3).assign(key) is Part.VALIDATION}
    assert small < large


def test_salt_gives_another_split() -> None:
    keys = [str(number) for number in range(100)]
    assert [HashSplit(0.5).assign(key) for key in keys] != [
        HashSplit(0.5, "other").assign(key) for key in keys
    ]


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_fraction_out_of_range_is_refused(fraction: float) -> None:
    with pytest.raises(UserError, match=f"validation is {fraction}; .* above 0 and below 1"):
        HashSplit(fraction)


def test_single_document_cannot_be_split() -> None:
    one = Corpus([Document("a", "a")])
    with pytest.raises(UserError, match=r"none of 1 documents is held out; .*HeldOutSource"):
        HashSplit(1e-9).divide(one)
    with pytest.raises(UserError, match="none of 1 documents is left to train on: 1 are held out"):
        HashSplit(1 - 1e-9).divide(one)


def test_skips_are_passed_on() -> None:
    documents = [Document(str(number), str(number)) for number in range(20)]
    division = HashSplit(0.5).divide(Corpus(documents, {"blank": 3}))
    assert division.skipped == {"blank": 3}


def test_held_out_source_is_taken_whole_and_its_texts_leave_training() -> None:
    held_out = Corpus([Document("x", "one"), Document("y", "two")], {"blank": 1})
    corpus = Corpus([Document("a", " one\n"), Document("b", "three")], {"blank": 2, "no text": 1})
    division = HeldOutSource(Fixed(held_out)).divide(corpus)
    assert [each.key for each in division.train] == ["b"]
    assert division.validation == held_out.documents
    assert division.duplicates == 1
    assert division.skipped == {"blank": 3, "no text": 1}


def test_held_out_source_with_everything_is_an_error() -> None:
    corpus = Corpus([Document("a", "one")])
    with pytest.raises(UserError, match="the held-out source has all their texts"):
        HeldOutSource(Fixed(corpus)).divide(corpus)
