"""The prefix tree: positions, attention rules and parents, against loops over tokens."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ebmlm.layout import Prefixes, PrefixTree, Survivors, Trunk, cut_to_prefixes
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.testing.strategies import anchors, batches, rollouts
from tests.helpers import branches, document_start, made_rollouts, prefix_of, seeded, visible


@given(batches(5))
def test_trunk_attention_equals_the_rule(batch: SequenceBatch) -> None:
    trunk = Trunk.of(batch)
    mask = trunk.attention_mask()
    rows, length = batch.sequences.shape
    for row in range(rows):
        for query in range(length):
            seen = mask[row, query].nonzero()[:, 0].tolist()
            if batch.sequence_mask[row, query]:
                assert seen == list(range(document_start(batch, row, query), query + 1))
            else:
                assert seen == [query]


def test_an_id_that_comes_back_is_another_document() -> None:
    batch = SequenceBatch.of(
        torch.tensor([[10, 11, 12, 13]]), documents=torch.tensor([[0, 1, 0, 0]])
    )
    assert Trunk.of(batch).attention_mask()[0, 3].long().tolist() == [0, 0, 1, 1]


@given(batches(5))
def test_plain_causal_attention_is_used_only_where_it_is_exact(batch: SequenceBatch) -> None:
    trunk = Trunk.of(batch)
    length = batch.sequences.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    real = batch.sequence_mask
    exact = torch.equal(trunk.attention_mask()[real], causal.expand(len(batch), -1, -1)[real])
    assert trunk.is_causal == exact


@given(batches(5))
def test_trunk_shows_no_padding(batch: SequenceBatch) -> None:
    trunk = Trunk.of(batch)
    assert (trunk.tokens[~batch.sequence_mask] == 0).all()
    assert torch.equal(trunk.tokens[batch.sequence_mask], batch.sequences[batch.sequence_mask])


def test_layout_by_hand() -> None:
    """Two documents; N = 2 branches of G = 2 tokens at two anchors, the second one invalid."""
    batch = SequenceBatch.of(
        torch.tensor([[10, 11, 12, 13, 14]]), documents=torch.tensor([[0, 0, 1, 1, 1]])
    )
    tree = PrefixTree.of(
        made_rollouts(
            batch,
            torch.tensor([[4, 1]]),
            torch.tensor([[[[20, 21], [22, 23]], [[24, 25], [26, 27]]]]),
            anchor_mask=torch.tensor([[True, False]]),
        )
    )
    assert tree.trunk_length == 5
    assert tree.shape == (2, 2, 2)
    assert tree.tokens.tolist() == [[10, 11, 12, 13, 14, 20, 21, 22, 23, 0, 0, 0, 0]]
    assert tree.positions[0, :9].tolist() == [0, 1, 0, 1, 2, 2, 3, 2, 3]
    assert tree.parents[0, 0].tolist() == [[3, 5], [3, 7]]
    mask = tree.prefixes.trunk_mask(5).long().tolist()
    assert mask == [[[0, 0, 1, 1, 0], [0, 0, 0, 0, 0]]]


@given(rollouts(5))
def test_layout_equals_walking(drawn: Rollouts) -> None:
    tree = PrefixTree.of(drawn)
    length = drawn.sequences.shape[1]
    _, _, samples, horizon = drawn.completions.shape
    mask = tree.prefixes.trunk_mask(length)
    for row, place, sample, tokens in branches(drawn):
        anchor = int(drawn.anchors[row, place])
        prefix = visible(drawn.batch, row, anchor)
        assert mask[row, place].nonzero()[:, 0].tolist() == list(prefix)
        parent = anchor - 1
        for step, token in enumerate(tokens):
            node = length + (place * samples + sample) * horizon + step
            assert tree.tokens[row, node] == token
            assert tree.positions[row, node] == len(prefix) + step
            assert tree.parents[row, place, sample, step] == parent
            parent = node


@given(rollouts(5))
def test_nothing_shows_of_invalid_anchors_and_dead_tokens(drawn: Rollouts) -> None:
    tree = PrefixTree.of(drawn)
    shown = tree.tokens[:, tree.trunk_length :].reshape(drawn.completions.shape)
    assert (shown[~drawn.token_mask()] == 0).all()
    assert not tree.prefixes.trunk_mask(tree.trunk_length)[~drawn.anchor_mask].any()
    assert (tree.parents >= 0).all()
    assert (tree.parents < tree.tokens.shape[1]).all()
    assert (tree.positions >= 0).all()


@pytest.mark.parametrize("anchor", [-1, 0, 1, 6, 8, 9])
def test_a_valid_anchor_follows_a_real_token(anchor: int) -> None:
    mask = torch.tensor([[False] + [True] * 4 + [False] * 3])
    batch = SequenceBatch.of(torch.zeros(1, 8, dtype=torch.long), mask)
    anchors = torch.tensor([[3, anchor]])
    with pytest.raises(ValueError, match=rf"anchor {anchor} of sequence 0 has no real token"):
        Prefixes.of(batch, anchors, torch.tensor([[True, True]]))
    # Where it is masked, anything may stand.
    prefixes = Prefixes.of(batch, anchors, torch.tensor([[True, False]]))
    assert prefixes.anchors.tolist() == [[3, 0]]


def test_a_valid_anchor_does_not_lie_past_the_end() -> None:
    batch = SequenceBatch.of(torch.zeros(1, 4, dtype=torch.long))
    with pytest.raises(ValueError, match=r"anchor 5 of sequence 0 .* is in 1\.\.4"):
        Prefixes.of(batch, torch.tensor([[5]]), torch.tensor([[True]]))


def test_a_branch_may_follow_the_last_token() -> None:
    batch = SequenceBatch.of(torch.zeros(1, 4, dtype=torch.long))
    prefixes = Prefixes.of(batch, torch.tensor([[4]]), torch.tensor([[True]]))
    assert prefixes.parents().tolist() == [[3]]
    assert prefixes.positions().tolist() == [[4]]
    assert prefixes.trunk_mask(4).all()


@given(rollouts())
def test_what_nodes_see_is_told_in_ranges(drawn: Rollouts) -> None:
    """The same as the masks of trunk and prefixes, and the order of the branches."""
    tree = PrefixTree.of(drawn)
    length, (anchors, samples, tokens) = tree.trunk_length, tree.shape
    low, high = (ends.unsqueeze(-1) for ends in tree.visible_trunk())
    place = torch.arange(length)
    seen = (place >= low) & (place < high)
    assert torch.equal(seen[:, :length], tree.trunk.attention_mask())
    prefixes = tree.prefixes.trunk_mask(length).repeat_interleave(samples * tokens, dim=1)
    assert torch.equal(seen[:, length:], prefixes)
    numbers = tree.branch_numbers()
    assert (numbers[:length] < 0).all()
    expected = torch.arange(anchors * samples).repeat_interleave(tokens)
    assert torch.equal(numbers[length:], expected)


@given(batches(), st.data())
def test_the_cut_keeps_every_prefix_and_no_column_more(
    batch: SequenceBatch, data: st.DataObject
) -> None:
    starts, valid = data.draw(anchors(batch))
    cut, places = cut_to_prefixes(batch, starts, valid)
    assert torch.equal(cut.ids, batch.ids)
    ends, begins = [], []
    for row, place in valid.nonzero().tolist():
        anchor = int(starts[row, place])
        prefix = prefix_of(batch, row, anchor)
        assert prefix_of(cut, row, int(places[row, place])) == prefix
        ends.append(anchor)
        begins.append(anchor - len(prefix))
    assert cut.sequences.shape[1] == (max(ends) - min(begins) if ends else 1)


def test_an_anchor_after_padding_cannot_be_cut_to() -> None:
    mask = torch.tensor([[False, True, True]])
    batch = SequenceBatch.of(torch.zeros(1, 3, dtype=torch.long), mask)
    with pytest.raises(ValueError, match="anchor 1 of sequence 0 has no real token before it"):
        cut_to_prefixes(batch, torch.tensor([[1]]), torch.tensor([[True]]))


def test_survivors_by_hand() -> None:
    alive = torch.tensor([[False, True, False, True], [False] * 4, [False, False, True, False]])
    values = torch.arange(12).view(3, 4)
    found = Survivors.of(alive)
    assert found.rows.tolist() == [0, 2]
    # The third row has one survivor, and one more for the shape.
    assert found.take(values).tolist() == [[1, 3], [10, 8]]
    assert found.rows_of(values).tolist() == [[0, 1, 2, 3], [8, 9, 10, 11]]
    assert found.put(found.take(values), torch.zeros_like(values)).tolist() == [
        [0, 1, 0, 3],
        [0, 0, 0, 0],
        [8, 0, 10, 0],
    ]
    again = Survivors.of(torch.tensor([[False, True], [False, False]]))
    assert again.take(found.take(values)).tolist() == [[3]]
    assert again.within(found).take(values).tolist() == [[3]]


def test_survivors_of_survivors_are_those_of_the_batch() -> None:
    generator = seeded(0)
    alive = torch.ones(5, 9, dtype=torch.bool)
    values = torch.arange(45).view(5, 9)
    held = Survivors.of(alive)
    while alive.any():
        alive = alive & (torch.rand(5, 9, generator=generator) < 0.7)
        if alive.any():
            held = Survivors.of(held.take(alive)).within(held)
            assert set(values[alive].tolist()) <= set(held.take(values).flatten().tolist())
            assert len(held.rows) == int(alive.any(1).sum())
            assert held.branches.shape[1] == int(alive.sum(1).max())
