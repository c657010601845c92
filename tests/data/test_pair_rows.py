from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from ebmlm.data import PaddingSide, PairRows, PairTokens, collate
from ebmlm.data.pair_rows import PairPacker
from ebmlm.rollouts import SequenceBatch


def pair(start: list[int], prompt: list[int], completion: list[int]) -> PairTokens:
    return PairTokens(start, prompt, completion, "p", "c")


TOKENS = st.integers(0, 50)
PAIRS = st.builds(
    pair,
    st.lists(TOKENS, max_size=1),
    st.lists(TOKENS, max_size=4),
    st.lists(TOKENS, min_size=1, max_size=4),
).filter(lambda tokens: len(tokens) >= 2)


def test_rows_by_hand() -> None:
    big = 2**63 - 1
    rows = PairRows.of([(big, pair([1], [5, 6], [7])), (3, pair([], [], [8, 9]))])
    assert len(rows) == 2 and not rows.packed
    first, second = rows[0], rows[-1]
    assert first.sequence.tolist() == [1, 5, 6, 7]
    assert first.documents.tolist() == [big] * 4
    assert first.targets is not None and second.targets is not None
    assert first.targets.tolist() == [False, False, False, True]
    assert (first.id, second.id) == (big, 3)
    assert second.targets.tolist() == [True, True]
    with pytest.raises(IndexError, match="row 2 of 2"):
        rows[2]


def test_packed_rows_by_hand() -> None:
    pairs = [(9, pair([1], [5], [7])), (3, pair([1], [], [8, 2])), (4, pair([], [6], [7]))]
    rows = PairRows.of(pairs, [[0, 2], [1]])
    first = rows[0]
    assert first.sequence.tolist() == [1, 5, 7, 6, 7]
    assert first.documents.tolist() == [9, 9, 9, 4, 4]
    assert first.targets is not None
    assert first.targets.tolist() == [False, False, True, False, True]
    assert [rows[number].id for number in range(2)] == [0, 1]


def test_an_item_stands_once() -> None:
    with pytest.raises(ValueError, match="stands twice"):
        PairRows.of([(3, pair([], [1], [2])), (3, pair([], [1], [2]))])


def batch_of(rows: PairRows, side: PaddingSide = PaddingSide.RIGHT) -> SequenceBatch:
    return collate([rows[number] for number in range(len(rows))], side)


def per_item(batch: SequenceBatch, mask: torch.Tensor) -> dict[int, list[int]]:
    """Tokens of each item where the mask is true."""
    found: dict[int, list[int]] = {}
    for row, place in (mask & batch.sequence_mask).nonzero().tolist():
        item = int(batch.documents[row, place])
        found.setdefault(item, []).append(int(batch.sequences[row, place]))
    return found


@given(st.lists(PAIRS, min_size=1, max_size=12), st.integers(9, 20), st.sampled_from(PaddingSide))
def test_packing_changes_no_token_and_no_target(
    tokens: list[PairTokens], length: int, side: PaddingSide
) -> None:
    pairs = [(1000 + number, each) for number, each in enumerate(tokens)]
    packer = PairPacker(length)
    for number, each in enumerate(tokens):
        packer.add(number, len(each))
    assert sorted(number for row in packer.rows for number in row) == list(range(len(tokens)))
    plain, packed = (
        batch_of(PairRows.of(pairs), side),
        batch_of(PairRows.of(pairs, packer.rows), side),
    )
    assert packed.sequences.shape[1] <= length
    everything = torch.ones_like
    for view in (
        lambda batch: everything(batch.sequence_mask),
        lambda batch: batch.targets,
        lambda batch: batch.target_mask(),
    ):
        assert per_item(plain, view(plain)) == per_item(packed, view(packed))
    targets = {1000 + number: list(each.completion) for number, each in enumerate(tokens)}
    assert plain.targets is not None
    assert per_item(plain, plain.targets) == targets


@given(st.lists(st.integers(1, 12), max_size=40))
def test_each_pair_goes_where_it_leaves_the_least_room(sizes: list[int]) -> None:
    packer = PairPacker(12)
    rooms: list[int] = []
    for number, size in enumerate(sizes):
        fitting = [(room, row) for row, room in enumerate(rooms) if room >= size]
        assert packer.fits(size) is bool(fitting)
        if fitting:
            row = min(fitting)[1]
            rooms[row] -= size
        else:
            row = len(rooms)
            rooms.append(12 - size)
        packer.add(number, size)
        assert packer.rows[row][-1] == number


@pytest.mark.parametrize("workers", [0, 1])
def test_data_loader_batches_pairs(workers: int) -> None:
    pairs = [(number, pair([], [1] * number, [2, 3])) for number in range(1, 6)]
    loader = DataLoader(PairRows.of(pairs), batch_size=2, collate_fn=collate, num_workers=workers)
    batches = list(loader)
    assert torch.cat([batch.ids for batch in batches]).tolist() == [1, 2, 3, 4, 5]
    assert all(batch.targets.sum(1).eq(2).all() for batch in batches)
