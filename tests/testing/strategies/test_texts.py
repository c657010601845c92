"""Text of every kind of padding and packing, prompts, and places for rollouts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ebmlm.rollouts import SequenceBatch
from ebmlm.testing.strategies import anchors, batches, prompts, single_texts, texts_of_length
from tests.testing.strategies.occurring import occurring, smallest


def real(batch: SequenceBatch, row: int) -> list[int]:
    """Places of the real tokens of a row."""
    return batch.sequence_mask[row].nonzero().flatten().tolist()


def documents(batch: SequenceBatch, row: int) -> list[int]:
    """Ids of the documents of a row, as they follow each other."""
    ids = batch.documents[row, real(batch, row)].tolist()
    return [number for place, number in enumerate(ids) if place == 0 or ids[place - 1] != number]


def any_row(holds: Callable[[Any, int], object]) -> Callable[[SequenceBatch], bool]:
    return lambda batch: any(holds(batch, row) for row in range(len(batch)))


def assert_well_formed(batch: SequenceBatch, vocabulary: int) -> None:
    """Tokens of the vocabulary, one run of real ones a row, no id twice, anchors after tokens."""
    assert batch.sequences.shape == batch.sequence_mask.shape == batch.documents.shape
    assert batch.sequences.dtype == batch.documents.dtype == batch.ids.dtype == torch.long
    assert ((batch.sequences >= 0) & (batch.sequences < vocabulary)).all()
    assert len(set(batch.ids.tolist())) == len(batch)
    for row in range(len(batch)):
        places = real(batch, row)
        assert places == list(range(places[0], places[-1] + 1)) if places else True
    if batch.anchors is not None:
        assert batch.anchor_mask is not None
        assert_valid(batch, batch.anchors, batch.anchor_mask)


def assert_valid(batch: SequenceBatch, places: Tensor, valid: Tensor) -> None:
    """Valid anchors follow a real token."""
    assert places.shape == valid.shape
    for row, place in valid.nonzero().tolist():
        assert int(places[row, place]) - 1 in real(batch, row)


@given(st.integers(1, 5), st.integers(1, 4), st.integers(2, 5), st.integers(0, 5), st.data())
def test_batches_keep_to_their_sizes(
    vocabulary: int, rows: int, shortest: int, more: int, data: st.DataObject
) -> None:
    batch = data.draw(batches(vocabulary, rows, shortest, shortest + more))
    assert_well_formed(batch, vocabulary)
    assert 1 <= len(batch) <= rows
    assert shortest <= batch.sequences.shape[1] <= shortest + more
    assert batch.anchors is None


KINDS: dict[str, Callable[[SequenceBatch], object]] = {
    "no padding": lambda batch: batch.sequence_mask.all(),
    "padding before": any_row(lambda batch, row: real(batch, row)[:1] > [0]),
    "padding after": any_row(
        lambda batch, row: [-1] < real(batch, row)[-1:] < [batch.sequences.shape[1] - 1]
    ),
    "padding on both sides": any_row(
        lambda batch, row: (
            real(batch, row)[:1] > [0] and not batch.sequence_mask[row, -1] and real(batch, row)
        )
    ),
    "a row of padding": any_row(lambda batch, row: not real(batch, row)),
    "a single token": any_row(lambda batch, row: len(real(batch, row)) == 1),
    "two documents": any_row(lambda batch, row: len(documents(batch, row)) == 2),
    "three documents": any_row(lambda batch, row: len(documents(batch, row)) == 3),
    "ids that fall": any_row(
        lambda batch, row: documents(batch, row) != sorted(documents(batch, row))
    ),
    "a document that comes back": any_row(
        lambda batch, row: len(set(documents(batch, row))) < len(documents(batch, row))
    ),
    "several rows": lambda batch: len(batch) == 3,
    "ids in any order": lambda batch: batch.ids.tolist() != sorted(batch.ids.tolist()),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_batch_occurs(kind: str) -> None:
    occurring(batches(), KINDS[kind])


def test_batches_shrink_to_two_tokens() -> None:
    batch = smallest(batches())
    assert batch.sequences.tolist() == [[0, 0]]
    assert batch.sequence_mask.all()
    assert batch.documents.tolist() == [[0, 0]]
    assert batch.ids.tolist() == [0]


def test_a_counterexample_has_no_more_padding_than_it_needs() -> None:
    batch = smallest(batches().filter(any_row(lambda batch, row: real(batch, row)[:1] > [0])))
    assert (~batch.sequence_mask).sum() == 1
    assert not batch.sequences.any()
    assert not batch.documents.any()


@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 3), st.data())
def test_single_texts_are_one_document(
    vocabulary: int, shortest: int, more: int, data: st.DataObject
) -> None:
    batch = data.draw(single_texts(vocabulary, shortest, shortest + more))
    assert_well_formed(batch, vocabulary)
    assert len(batch) == 1
    assert batch.sequence_mask.all()
    assert documents(batch, 0) == [0]
    assert shortest <= batch.sequences.shape[1] <= shortest + more


@given(prompts(4))
def test_prompts_end_inside_their_row(batch: SequenceBatch) -> None:
    assert_well_formed(batch, 4)
    assert batch.anchors is not None
    assert batch.anchor_mask is not None
    assert batch.anchor_mask[:, 0].all()
    for row in range(len(batch)):
        assert len(documents(batch, row)) == 1
        first, second = batch.anchors[row].tolist()
        # A token of the prompt before it, one of the completion at it.
        assert first in real(batch, row)[1:]
        assert second in real(batch, row)
        assert second >= first


PROMPTS: dict[str, Callable[[Any], object]] = {
    "padding on both sides": any_row(
        lambda batch, row: not batch.sequence_mask[row, 0] and not batch.sequence_mask[row, -1]
    ),
    "two anchors": lambda batch: (
        (batch.anchors[:, 0] < batch.anchors[:, 1]) & batch.anchor_mask[:, 1]
    ).any(),
    "one anchor": lambda batch: not batch.anchor_mask[:, 1].all(),
    "ends at different places": lambda batch: len(set(batch.anchors[:, 0].tolist())) > 1,
}


@pytest.mark.parametrize("kind", PROMPTS)
def test_every_kind_of_prompt_occurs(kind: str) -> None:
    occurring(prompts(), PROMPTS[kind])


@given(st.integers(1, 6), st.integers(1, 3), st.data())
def test_the_first_text_is_long_enough(length: int, rows: int, data: st.DataObject) -> None:
    batch = data.draw(texts_of_length(3, length, rows))
    assert_well_formed(batch, 3)
    assert len(batch) <= rows
    assert batch.positions()[0].max() + 1 >= length
    assert batch.anchor_mask is not None
    for row in range(len(batch)):
        assert bool(batch.anchor_mask[row, 0]) == bool(real(batch, row))


LONG: dict[str, Callable[[Any], object]] = {
    "as short as it may be": lambda batch: batch.sequences.shape[1] == 4,
    "padding before": any_row(lambda batch, row: real(batch, row)[:1] > [0]),
    "a second document": any_row(lambda batch, row: len(documents(batch, row)) == 2),
    "a row that is too short": any_row(lambda batch, row: 0 < len(real(batch, row)) < 4),
}


@pytest.mark.parametrize("kind", LONG)
def test_every_kind_of_text_occurs(kind: str) -> None:
    occurring(texts_of_length(3, 4), LONG[kind])


def test_texts_and_prompts_shrink_to_the_shortest() -> None:
    assert smallest(single_texts()).sequences.tolist() == [[0]]
    prompt = smallest(prompts())
    assert prompt.sequences.tolist() == [[0, 0]]
    assert prompt.sequence_mask.all()
    assert prompt.anchors is not None
    assert prompt.anchors.tolist() == [[1, 1]]
    text = smallest(texts_of_length(3, 4))
    assert text.sequences.tolist() == [[0, 0, 0, 0]]
    assert text.sequence_mask.all()
    assert text.anchors is not None
    assert text.anchors.tolist() == [[1]]


@given(batches(), st.integers(1, 4), st.data())
def test_anchors_are_valid_only_after_a_real_token(
    batch: SequenceBatch, most: int, data: st.DataObject
) -> None:
    places, valid = data.draw(anchors(batch, most))
    assert len(places) == len(batch)
    assert places.shape[1] <= most
    assert_valid(batch, places, valid)
    length = batch.sequences.shape[1]
    assert ((places >= -1) & (places <= length + 1)).all()


PACKED = SequenceBatch.of(
    torch.zeros(2, 5, dtype=torch.long),
    torch.tensor([[False, True, True, True, True], [True] * 5]),
    torch.tensor([[0, 0, 0, 1, 1], [0] * 5]),
)

PLACES: dict[str, Callable[[tuple[Tensor, Tensor]], object]] = {
    "before the batch": lambda drawn: (drawn[0] < 0).any(),
    "after the batch": lambda drawn: (drawn[0] > 5).any(),
    "told to be invalid after a real token": lambda drawn: (
        (drawn[0] > 1) & (drawn[0] < 6) & ~drawn[1]
    ).any(),
    "after the last token": lambda drawn: ((drawn[0] == 5) & drawn[1]).any(),
    "none valid in a row": lambda drawn: (~drawn[1]).all(-1).any() & drawn[1].any(),
    "one place twice": lambda drawn: (
        (drawn[0][:, :-1] == drawn[0][:, 1:]) & drawn[1][:, :-1] & drawn[1][:, 1:]
    ).any(),
    "in falling order": lambda drawn: (
        (drawn[0][:, :-1] > drawn[0][:, 1:]) & drawn[1][:, :-1] & drawn[1][:, 1:]
    ).any(),
}


@pytest.mark.parametrize("kind", PLACES)
def test_every_kind_of_anchor_occurs(kind: str) -> None:
    occurring(anchors(PACKED), PLACES[kind])


def test_anchors_shrink_to_the_first_valid_one() -> None:
    places, valid = smallest(anchors(PACKED))
    assert places.tolist() == [[2], [1]]
    assert valid.all()
