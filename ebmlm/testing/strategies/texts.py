"""Text: packed, padded on either side, prompts with their ends, and places for rollouts."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor

from ebmlm.rollouts import SequenceBatch

__all__ = ["anchors", "batches", "prompts", "single_texts", "texts_of_length"]


_PADDING = st.sampled_from([0, 0, 0, 1, 2, 5])


def _counts(most: int) -> SearchStrategy[int]:
    """From one up, and one not too often: some laws are about more than one row."""
    return st.sampled_from([1, *[count for count in range(2, most + 1) for _ in range(2)]])


def _tokens(draw: st.DrawFn, vocabulary: int, *shape: int) -> Tensor:
    size = torch.Size(shape).numel()
    token = st.integers(0, vocabulary - 1)
    return torch.tensor(draw(st.lists(token, min_size=size, max_size=size))).view(*shape)


@st.composite
def single_texts(
    draw: st.DrawFn, vocabulary: int = 3, min_length: int = 1, max_length: int = 4
) -> SequenceBatch:
    """One sequence, one document, no padding."""
    length = draw(st.integers(min_length, max_length))
    return SequenceBatch.of(_tokens(draw, vocabulary, 1, length))


@st.composite
def batches(
    draw: st.DrawFn,
    vocabulary: int = 3,
    max_rows: int = 3,
    min_length: int = 2,
    max_length: int = 10,
) -> SequenceBatch:
    """Sequences with padding on either or both sides, and packed documents.

    Ids of documents come in any order, and come back. A row may also be nothing but padding, as
    where a last batch is filled up. Ids of sequences are any numbers, none of them twice.

    Args:
        draw: given by Hypothesis.
        vocabulary: token ids are below it.
        max_rows: sequences at most.
        min_length: tokens of a row at least, padding included.
        max_length: tokens of a row at most.
    """
    rows = draw(_counts(max_rows))
    length = draw(st.integers(min_length, max_length))
    sequences = _tokens(draw, vocabulary, rows, length)
    documents = torch.zeros_like(sequences)
    mask = torch.ones_like(sequences, dtype=torch.bool)
    for row in range(rows):
        before = min(draw(_PADDING), length - 1)
        after = min(draw(_PADDING), length - 1 - before)
        mask[row, :before] = False
        mask[row, length - after :] = False
        mask[row] &= draw(st.sampled_from([True, True, True, True, False]))
        for place in sorted(draw(st.lists(st.integers(1, length - 1), max_size=2, unique=True))):
            others = [number for number in (0, 1, -1) if number != documents[row, place]]
            documents[row, place:] = draw(st.sampled_from(others))
    ids = draw(st.lists(st.integers(0, 99), min_size=rows, max_size=rows, unique=True))
    return SequenceBatch.of(sequences, mask, documents, torch.tensor(ids))


@st.composite
def prompts(
    draw: st.DrawFn, vocabulary: int = 3, max_rows: int = 3, max_length: int = 10
) -> SequenceBatch:
    """Prompt-completion pairs: one document a row, padded, and an anchor at the prompt's end.

    A row may have a second anchor inside its completion. No prompt is empty.

    Args:
        draw: given by Hypothesis.
        vocabulary: token ids are below it.
        max_rows: pairs at most.
        max_length: tokens of a row at most, padding included.
    """
    rows = draw(_counts(max_rows))
    length = draw(st.integers(2, max_length))
    sequences = _tokens(draw, vocabulary, rows, length)
    mask = torch.zeros_like(sequences, dtype=torch.bool)
    starts = torch.zeros(rows, 2, dtype=torch.long)
    valid = torch.ones_like(starts, dtype=torch.bool)
    for row in range(rows):
        first = draw(st.integers(0, length - 2))
        stop = draw(st.integers(first + 2, length))
        mask[row, first:stop] = True
        starts[row, 0] = draw(st.integers(first + 1, stop - 1))
        starts[row, 1] = draw(st.integers(int(starts[row, 0]), stop - 1))
        valid[row, 1] = draw(st.booleans())
    return SequenceBatch.of(sequences, mask, anchors=starts, anchor_mask=valid)


@st.composite
def texts_of_length(
    draw: st.DrawFn, vocabulary: int, length: int, max_rows: int = 2
) -> SequenceBatch:
    """Rows with a document of at least ``length`` tokens, some padding, and a given anchor.

    A second document may follow in the row, and rows after the first may be too short.

    Args:
        draw: given by Hypothesis.
        vocabulary: token ids are below it.
        length: tokens of a document.
        max_rows: sequences at most.
    """
    rows, extra = draw(_counts(max_rows)), draw(st.integers(0, 3))
    sequences = _tokens(draw, vocabulary, rows, length + extra)
    documents = torch.zeros_like(sequences)
    mask = torch.ones_like(sequences, dtype=torch.bool)
    starts = torch.zeros(rows, 1, dtype=torch.long)
    valid = torch.ones_like(starts, dtype=torch.bool)
    for row in range(rows):
        before = draw(st.integers(0, extra))
        short = 0 if row == 0 else draw(st.sampled_from([0, 0, 0, 1, 3]))
        after = min(draw(st.integers(0, extra - before)) + short, length + extra - before)
        mask[row, :before] = False
        mask[row, length + extra - after :] = False
        if draw(st.booleans()):
            documents[row, before + length :] = 1
        real = length + extra - before - after
        valid[row] = real > 0
        starts[row] = before + draw(st.integers(1, max(real, 1)))
    ids = draw(st.lists(st.integers(0, 99), min_size=rows, max_size=rows, unique=True))
    return SequenceBatch.of(
        sequences, mask, documents, torch.tensor(ids), anchors=starts, anchor_mask=valid
    )


@st.composite
def anchors(draw: st.DrawFn, batch: SequenceBatch, max_anchors: int = 3) -> tuple[Tensor, Tensor]:
    """Anchors (batch, anchor) anywhere, even outside the batch, and a mask of valid ones.

    Valid is an anchor that follows a real token, and may be told to be invalid all the same.
    """
    rows, length = batch.sequences.shape
    places = draw(st.integers(1, max_anchors))
    found = torch.zeros(rows, places, dtype=torch.long)
    valid = torch.zeros(rows, places, dtype=torch.bool)
    for row in range(rows):
        possible = [place + 1 for place in range(length) if batch.sequence_mask[row, place]]
        anywhere: SearchStrategy[int] = st.integers(-1, length + 1)
        for place in range(places):
            if possible and draw(st.sampled_from([True, True, True, True, False])):
                found[row, place] = draw(st.sampled_from(possible))
                valid[row, place] = True
            else:
                found[row, place] = draw(anywhere)
    return found, valid
