"""Collation: rows of text as one batch."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import torch

from ebmlm.data.row import TextRow
from ebmlm.rollouts import SequenceBatch

__all__ = ["PaddingSide", "collate"]


class PaddingSide(Enum):
    """Where padding goes; nothing that is computed depends on it."""

    LEFT = "left"
    RIGHT = "right"


def collate(
    rows: Sequence[TextRow], padding_side: PaddingSide = PaddingSide.RIGHT
) -> SequenceBatch:
    """Return rows as a batch (batch, position), padded to the longest of them.

    Usable as it is wherever a ``collate_fn`` or ``data_collator`` is wanted. Padding has the token
    id 0, which every vocabulary has, and is told apart by the mask alone.

    Raises:
        ValueError: if there is no row.
    """
    if not rows:
        raise ValueError("a batch needs at least one row")
    width = max(len(row) for row in rows)
    sequences = torch.zeros(len(rows), width, dtype=torch.int64)
    documents = torch.zeros(len(rows), width, dtype=torch.int64)
    mask = torch.zeros(len(rows), width, dtype=torch.bool)
    targets = None
    if any(row.targets is not None for row in rows):
        targets = torch.zeros(len(rows), width, dtype=torch.bool)
    for place, row in enumerate(rows):
        start = width - len(row) if padding_side is PaddingSide.LEFT else 0
        stop = start + len(row)
        sequences[place, start:stop] = row.sequence
        documents[place, start:stop] = row.documents
        mask[place, start:stop] = True
        if targets is not None:
            targets[place, start:stop] = True if row.targets is None else row.targets
    ids = torch.tensor([row.id for row in rows], dtype=torch.int64)
    return SequenceBatch.of(sequences, mask, documents, ids, targets=targets)
