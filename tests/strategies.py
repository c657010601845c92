"""Hypothesis strategies: small batches and rollouts with every kind of padding and packing."""

from __future__ import annotations

import torch
from hypothesis import strategies as st

from ebmlm.rollouts import Rollouts, SequenceBatch
from tests.helpers import document_start, made_rollouts, seeded

__all__ = ["batches", "rollouts"]


@st.composite
def batches(
    draw: st.DrawFn, vocabulary: int = 5, max_rows: int = 3, max_length: int = 10
) -> SequenceBatch:
    """Text with padding on either or both sides; ids of documents in any order, and coming back.

    A row may also be nothing but padding, as where a last batch is filled up.
    """
    rows = draw(st.integers(1, max_rows))
    length = draw(st.integers(2, max_length))
    generator = seeded(draw(st.integers(0, 2**32)))
    sequences = torch.randint(vocabulary, (rows, length), generator=generator)
    documents = torch.zeros_like(sequences)
    mask = torch.zeros_like(sequences, dtype=torch.bool)
    for row in range(rows):
        first = draw(st.integers(0, length - 1))
        last = draw(st.integers(first + 1, length))
        mask[row, first:last] = draw(st.sampled_from([True, True, True, False]))
        for place in draw(st.lists(st.integers(1, length - 1), max_size=4)):
            documents[row, place:] = draw(st.integers(-1, 1))
    return SequenceBatch.of(sequences, mask, documents)


@st.composite
def rollouts(draw: st.DrawFn, vocabulary: int = 5, max_anchors: int = 4) -> Rollouts:
    """Arbitrary completions at arbitrary anchors, valid where a real token stands before them."""
    batch = draw(batches(vocabulary))
    rows, length = batch.sequences.shape
    places, samples, horizon = (draw(st.integers(1, top)) for top in (max_anchors, 3, 3))
    anchors = torch.tensor(
        [[draw(st.integers(-1, length + 1)) for _ in range(places)] for _ in range(rows)]
    )
    valid = torch.zeros_like(anchors, dtype=torch.bool)
    for row in range(rows):
        for place, anchor in enumerate(anchors[row].tolist()):
            possible = 1 <= anchor <= length and bool(batch.sequence_mask[row, anchor - 1])
            valid[row, place] = possible and draw(st.booleans())
    generator = seeded(draw(st.integers(0, 2**32)))
    shape = (rows, places, samples, horizon)
    completions = torch.randint(vocabulary, shape, generator=generator)
    lengths = torch.randint(1, horizon + 1, shape[:3], generator=generator)
    mask = torch.arange(horizon) < lengths.unsqueeze(-1)
    return made_rollouts(batch, anchors, completions, anchor_mask=valid, completion_mask=mask)


def visible(batch: SequenceBatch, row: int, anchor: int) -> range:
    """Trunk tokens that a rollout at ``anchor`` sees."""
    return range(document_start(batch, row, anchor - 1), anchor)
