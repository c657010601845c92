"""Where rollouts start, against a loop over a sequence's tokens."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ebmlm.errors import UserError
from ebmlm.rollouts import SequenceBatch
from ebmlm.samplers import CompletionAnchors, GivenAnchors, PromptEnd, StridedAnchors
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


def pairs() -> SequenceBatch:
    """Two packed pairs, of which the second has no prompt; and one behind padding."""
    documents = torch.tensor([[8] * 7 + [3] * 3, [5] * 10])
    targets = torch.tensor([[0, 0, 1, 1, 1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0, 1, 1, 1, 1]]).bool()
    mask = torch.ones(2, 10, dtype=torch.bool)
    mask[1, :3] = False
    return SequenceBatch.of(torch.zeros(2, 10, dtype=torch.long), mask, documents, targets=targets)


@pytest.mark.parametrize(
    ("placement", "expected"),
    [
        # A completion that follows nothing is entered after its first token.
        (PromptEnd(), [[2, 8], [6]]),
        (CompletionAnchors(1), [[2, 3, 4, 5, 6, 8, 9], [6, 7, 8, 9]]),
        (CompletionAnchors(2), [[2, 4, 6, 8], [6, 8]]),
        (CompletionAnchors(2, 1), [[3, 5, 9], [7, 9]]),
        (CompletionAnchors(3, 3), [[5], [9]]),
        (CompletionAnchors(8, 9), [[], []]),
    ],
)
def test_anchors_of_completions_by_hand(
    placement: PromptEnd | CompletionAnchors, expected: list[list[int]]
) -> None:
    anchors, valid = placement(pairs(), 4)
    assert [row[real].tolist() for row, real in zip(anchors, valid, strict=True)] == expected
    assert anchors.shape == valid.shape == (2, max(1, *map(len, expected)))


@given(batches(), st.data())
def test_anchors_of_completions_equal_walking(batch: SequenceBatch, data: st.DataObject) -> None:
    rows, length = batch.sequences.shape
    # Any pattern: also a document with several stretches of targets, each a completion.
    flags = data.draw(st.lists(st.booleans(), min_size=rows * length, max_size=rows * length))
    batch = dataclasses.replace(batch, targets=torch.tensor(flags).view(rows, length))
    stride, context = data.draw(st.integers(1, 4)), data.draw(st.integers(0, 3))
    placed = CompletionAnchors(stride, context)(batch, 2)
    ends = PromptEnd()(batch, 2)
    for row in range(rows):
        expected, starts = [], []
        into = 0
        for place in range(length):
            real = bool(batch.sequence_mask[row, place])
            start = document_start(batch, row, place) if real else place
            if not (real and flags[row * length + place] and start < place):
                into = -1
            elif into < 0 or start == place - 1 or place == 0:
                into = 0
            else:
                into += 1
            if into == 0:
                starts.append(place)
            if into >= context and (into - context) % stride == 0:
                expected.append(place)
        assert placed[0][row][placed[1][row]].tolist() == expected
        assert ends[0][row][ends[1][row]].tolist() == starts


@pytest.mark.parametrize("placement", [PromptEnd(), CompletionAnchors()])
def test_raw_text_has_no_completions(placement: PromptEnd | CompletionAnchors) -> None:
    with pytest.raises(UserError, match=r"does not say what is a prompt .*PairData"):
        placement(SequenceBatch.of(torch.zeros(1, 5, dtype=torch.long)), 2)


def test_completion_anchors_out_of_range_are_refused() -> None:
    with pytest.raises(UserError, match="stride is 0: it must be at least 1 token"):
        CompletionAnchors(0)
    with pytest.raises(UserError, match="min_context is -1: it must be at least 0 tokens"):
        CompletionAnchors(1, -1)
