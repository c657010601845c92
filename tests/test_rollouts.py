"""Sequences, rollouts, and what is computed from them."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ebmlm.rollouts import Rollouts, Scores, SequenceBatch, gather_continuations
from ebmlm.testing.strategies import anchors as anchors_of
from ebmlm.testing.strategies import batches, rollouts
from tests.helpers import document_start, made_rollouts, packed_batch


def test_defaults_are_one_real_document_each() -> None:
    batch = SequenceBatch.of(torch.tensor([[4, 5], [6, 7]]), anchors=torch.tensor([[1], [1]]))
    assert batch.sequence_mask.all()
    assert (batch.documents == 0).all()
    assert batch.ids.tolist() == [0, 1]
    assert batch.anchor_mask is not None
    assert batch.anchor_mask.all()
    assert len(batch) == 2


@pytest.mark.parametrize("name", ["sequence_mask", "documents"])
def test_shapes_must_agree(name: str) -> None:
    with pytest.raises((ValueError, TypeError), match=r"position|sequence_mask"):
        SequenceBatch.of(torch.zeros(2, 4, dtype=torch.long), **{name: torch.ones(2, 3)})


@pytest.mark.parametrize("mask", [[1, 0, 1, 1], [0, 1, 0, 1], [1, 1, 0, 1], [1, 0, 0, 1]])
def test_gaps_in_a_mask_are_refused(mask: list[int]) -> None:
    with pytest.raises(ValueError, match="contiguous"):
        SequenceBatch.of(torch.zeros(1, 4, dtype=torch.long), torch.tensor([mask]).bool())


@pytest.mark.parametrize("mask", [[0, 0, 1, 1], [1, 1, 0, 0], [0, 1, 1, 0], [1, 1, 1, 1]])
def test_padding_on_any_side_is_fine(mask: list[int]) -> None:
    batch = SequenceBatch.of(torch.zeros(1, 4, dtype=torch.long), torch.tensor([mask]).bool())
    assert batch.target_mask().sum() == sum(mask) - 1


def test_positions_by_hand() -> None:
    batch = SequenceBatch.of(
        torch.zeros(2, 7, dtype=torch.long),
        torch.tensor([[0, 0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0, 0]]).bool(),
        torch.tensor([[5, 5, 5, 5, 2, 2, 2], [1, 0, 0, 1, 1, 1, 1]]),
    )
    assert batch.document_starts()[0, 2:].tolist() == [2, 2, 4, 4, 4]
    assert batch.positions()[0, 2:].tolist() == [0, 1, 0, 1, 2]
    # The id 1 comes back: another document.
    assert batch.positions()[1, :5].tolist() == [0, 0, 1, 0, 1]
    assert batch.target_mask().tolist() == [
        [False, False, False, True, False, True, True],
        [False, False, True, False, True, False, False],
    ]


@given(batches())
def test_positions_equal_walking(batch: SequenceBatch) -> None:
    starts, positions, targets = (
        batch.document_starts(),
        batch.positions(),
        batch.target_mask(),
    )
    for row, place in batch.sequence_mask.nonzero().tolist():
        start = document_start(batch, row, place)
        assert starts[row, place] == start
        assert positions[row, place] == place - start
        assert targets[row, place] == (place > start)
    assert not targets[~batch.sequence_mask].any()


def test_positions_do_not_mistake_padding_for_a_document() -> None:
    # -1 is an id like any other.
    batch = SequenceBatch.of(
        torch.zeros(1, 4, dtype=torch.long),
        torch.tensor([[False, False, True, True]]),
        torch.full((1, 4), -1),
    )
    assert batch.positions()[0, 2:].tolist() == [0, 1]


@given(batches())
def test_padding_takes_no_positions(batch: SequenceBatch) -> None:
    """So that any amount of it fits a model's longest position."""
    assert (batch.positions()[~batch.sequence_mask] == 0).all()


def test_continuations_by_hand() -> None:
    batch = SequenceBatch.of(
        torch.tensor([[10, 11, 12, 13, 14, 15, 16, 17]]),
        torch.tensor([[1, 1, 1, 1, 1, 1, 1, 0]]).bool(),
        torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1]]),
    )
    anchors = torch.tensor([[1, 3, 5, 2]])
    tokens, mask = gather_continuations(
        batch, anchors, torch.tensor([[True, True, True, False]]), 3
    )
    assert tokens.tolist() == [[[11, 12, 13], [13, 0, 0], [15, 16, 0], [0, 0, 0]]]
    assert mask.long().tolist() == [[[1, 1, 1], [1, 0, 0], [1, 1, 0], [0, 0, 0]]]


def test_a_continuation_ends_with_its_document_though_the_id_comes_back() -> None:
    batch = SequenceBatch.of(
        torch.tensor([[10, 11, 12, 13]]), documents=torch.tensor([[0, 0, 1, 0]])
    )
    _, mask = gather_continuations(batch, torch.tensor([[1]]), torch.tensor([[True]]), 3)
    assert mask.long().tolist() == [[[1, 0, 0]]]


@given(batches(5), st.integers(1, 5), st.data())
def test_continuations_equal_walking(
    batch: SequenceBatch, length: int, data: st.DataObject
) -> None:
    rows, size = batch.sequences.shape
    anchors, valid = data.draw(anchors_of(batch))
    tokens, mask = gather_continuations(batch, anchors, valid, length)
    for row in range(rows):
        for place in range(anchors.shape[1]):
            anchor, expected = int(anchors[row, place]), []
            stop = min(anchor + length, size) if valid[row, place] else anchor
            for index in range(anchor, stop):
                own = document_start(batch, row, anchor - 1)
                if not batch.sequence_mask[row, index]:
                    break
                if document_start(batch, row, index) != own:
                    break
                expected.append(int(batch.sequences[row, index]))
            assert mask[row, place].tolist() == [step < len(expected) for step in range(length)]
            assert tokens[row, place].tolist() == expected + [0] * (length - len(expected))


def test_records_are_frozen() -> None:
    batch = packed_batch()
    with pytest.raises(dataclasses.FrozenInstanceError):
        batch.sequences = batch.sequences  # type: ignore[misc]


@given(rollouts(5))
def test_rows_cut_every_tensor(drawn: Rollouts) -> None:
    part = drawn.rows(0, 1)
    assert part.completions.shape[0] == len(part.batch) == part.references.shape[0] == 1
    assert torch.equal(part.batch.sequences, drawn.sequences[:1])
    assert part.distribution is drawn.distribution
    # What was cut is still there.
    assert drawn.completions.shape[0] == len(drawn.batch)


def test_moving_takes_the_text_along() -> None:
    moved = made_rollouts(
        packed_batch(), torch.tensor([[5]] * 4), torch.zeros(4, 1, 2, 3, dtype=torch.long)
    ).to("meta")
    assert moved.completions.device.type == moved.batch.sequences.device.type == "meta"
    assert moved.batch.anchors is None
    scores = Scores(torch.zeros(1, 1, 1, 1)).to("meta")
    assert scores.policy.device.type == "meta"
    assert scores.reference is None


def test_sizes_and_token_mask() -> None:
    mask = torch.ones(4, 2, 3, 5, dtype=torch.bool)
    mask[0, 0, 1, 2:] = False
    made = made_rollouts(
        packed_batch(),
        torch.tensor([[5, 9]] * 4),
        torch.zeros(4, 2, 3, 5, dtype=torch.long),
        completion_mask=mask,
    )
    made = dataclasses.replace(
        made, completion_mask=mask, anchor_mask=torch.tensor([[True, False]] * 4)
    )
    assert (made.samples, made.horizon) == (3, 5)
    assert made.token_mask()[:, 0].sum() == 4 * 15 - 3
    assert not made.token_mask()[:, 1].any()
    assert torch.equal(made.documents, made.batch.documents)
    assert torch.equal(made.sequence_mask, made.batch.sequence_mask)
