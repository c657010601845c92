"""Where rollouts start, against a loop over a sequence's tokens."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ebmlm.errors import UserError
from ebmlm.rollouts import SequenceBatch
from ebmlm.samplers import GivenAnchors, StridedAnchors
from ebmlm.testing.strategies import batches
from tests.helpers import document_start


def test_strided_anchors_by_hand() -> None:
    documents = torch.tensor([[0] * 12, [0] * 7 + [1] * 5, [0] * 12])
    mask = torch.ones(3, 12, dtype=torch.bool)
    mask[2, :2] = False
    batch = SequenceBatch.of(torch.zeros(3, 12, dtype=torch.long), mask, documents)
    anchors, valid = StridedAnchors(stride=3, context=2)(batch, 3)
    assert anchors[:2].tolist() == [[2, 5, 8]] * 2
    # The window 5..7 crosses into the next document, and 10..12 past the end.
    assert valid.tolist() == [[True, True, True], [True, False, True], [True, True, False]]
    assert anchors[2, :2].tolist() == [4, 7]
    assert (anchors + 3 <= 12).all()


def test_a_document_may_have_any_id() -> None:
    batch = SequenceBatch.of(
        torch.zeros(1, 8, dtype=torch.long), documents=torch.tensor([[-1] * 4 + [-7] * 4])
    )
    anchors, valid = StridedAnchors(1, 1)(batch, 2)
    assert anchors[valid].tolist() == [1, 2, 5, 6]


def test_context_may_be_asked_for_within_the_document() -> None:
    batch = SequenceBatch.of(
        torch.zeros(1, 12, dtype=torch.long), documents=torch.tensor([[0] * 4 + [1] * 8])
    )
    for document_context, expected in ((1, [5, 6, 7, 8, 9, 10]), (3, [7, 8, 9, 10])):
        anchors, valid = StridedAnchors(1, 4, document_context)(batch, 2)
        assert anchors[valid].tolist() == expected


@given(batches(), st.data())
def test_valid_anchors_equal_walking(batch: SequenceBatch, data: st.DataObject) -> None:
    rows, length = batch.sequences.shape
    horizon = data.draw(st.integers(1, length - 1))
    context = data.draw(st.integers(1, length - horizon))
    stride, document_context = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
    anchors, valid = StridedAnchors(stride, context, document_context)(batch, horizon)
    assert anchors.shape == valid.shape
    for row in range(rows):
        real = batch.sequence_mask[row].nonzero().flatten().tolist()
        first = real[0] if real else 0
        expected = []
        for anchor in range(first + context, length - horizon + 1, stride):
            last = anchor + horizon - 1
            if batch.sequence_mask[row, last]:
                start = document_start(batch, row, last)
                if start <= anchor - document_context:
                    expected.append(anchor)
        assert anchors[row][valid[row]].tolist() == expected


@pytest.mark.parametrize("name", ["stride", "context", "document_context"])
@pytest.mark.parametrize("value", [0, -3])
def test_lengths_under_one_token_are_refused(name: str, value: int) -> None:
    with pytest.raises(UserError, match=f"{name} is {value}: it must be at least 1 token"):
        StridedAnchors(**{name: value})


def test_a_context_longer_than_the_sequence_is_refused() -> None:
    batch = SequenceBatch.of(torch.zeros(1, 10, dtype=torch.long))
    anchors, valid = StridedAnchors(8, 6)(batch, 4)
    assert anchors[valid].tolist() == [6]
    with pytest.raises(UserError, match=r"context 7 and horizon 4 .* make it at least 11 tokens"):
        StridedAnchors(8, 7)(batch, 4)


def test_given_anchors_are_those_of_the_data() -> None:
    tokens = torch.zeros(2, 5, dtype=torch.long)
    given_ = torch.tensor([[2, 3], [1, 0]])
    mask = torch.tensor([[True, True], [True, False]])
    anchors, valid = GivenAnchors()(SequenceBatch.of(tokens, anchors=given_, anchor_mask=mask), 9)
    assert torch.equal(anchors, given_)
    assert torch.equal(valid, mask)
    with pytest.raises(UserError, match="this batch has no anchors"):
        GivenAnchors()(SequenceBatch.of(tokens), 2)
