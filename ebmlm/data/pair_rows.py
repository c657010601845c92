"""Prompt-completion pairs as rows: one to a row, or several whole ones."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ebmlm.data.pair_tokens import PairTokens
from ebmlm.data.row import TextRow

__all__ = ["PairPacker", "PairRows"]


class PairPacker:
    """Puts whole pairs into rows, each where it leaves the least room.

    A pair goes to the fullest row that it fits in, the earliest of several, or opens a new one.

    Args:
        length: tokens of a row.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self.rows: list[list[int]] = []
        self._room: list[tuple[int, int]] = []

    def fits(self, size: int) -> bool:
        """Whether a pair of ``size`` tokens fits in a row that is there."""
        return bisect_left(self._room, (size, 0)) < len(self._room)

    def add(self, pair: int, size: int) -> None:
        """Put pair number ``pair``, of ``size`` tokens, into a row."""
        place = bisect_left(self._room, (size, 0))
        if place < len(self._room):
            room, row = self._room.pop(place)
        else:
            room, row = self.length, len(self.rows)
            self.rows.append([])
        self.rows[row].append(pair)
        if room > size:
            insort(self._room, (room - size, row))


@dataclass(frozen=True, eq=False)
class PairRows(Dataset[TextRow]):
    """Pairs as rows, of which only completions are targets.

    Built by ``of``. ``TextRow.documents`` holds the id of each token's own item.

    Attributes:
        tokens: (token,) the ids of all pairs' tokens, one pair after the other, int32.
        ends: (pair,) the index in ``tokens`` after each pair's last, int64.
        completions: (pair,) tokens of each pair's completion, int64.
        items: (pair,) the id of each pair's item, int64.
        rows: of each row, the numbers of the pairs in it.
        packed: whether rows may hold several pairs; a row's id is then its index, and otherwise
            that of its item.
    """

    tokens: Tensor
    ends: Tensor
    completions: Tensor
    items: Tensor
    rows: Sequence[Sequence[int]]
    packed: bool

    @classmethod
    def of(
        cls,
        pairs: Iterable[tuple[int, PairTokens]],
        rows: Sequence[Sequence[int]] | None = None,
    ) -> PairRows:
        """Build rows of pairs.

        Args:
            pairs: each pair's item id and tokens; an id stands once.
            rows: the numbers of the pairs in each row, counted from 0; one to a row if not given.

        Raises:
            ValueError: if an id is there twice.
        """
        known = list(pairs)
        if len({item for item, _ in known}) < len(known):
            raise ValueError("an item id stands twice: the pairs of a row could not be told apart")
        flat = [[*pair.start, *pair.prompt, *pair.completion] for _, pair in known]
        tokens = [torch.tensor(each, dtype=torch.int32) for each in flat]
        return cls(
            tokens=torch.cat(tokens) if tokens else torch.zeros(0, dtype=torch.int32),
            ends=torch.tensor([len(each) for each in flat], dtype=torch.int64).cumsum(0),
            completions=torch.tensor([len(pair.completion) for _, pair in known]).long(),
            items=torch.tensor([item for item, _ in known], dtype=torch.int64),
            rows=[[number] for number in range(len(known))] if rows is None else rows,
            packed=rows is not None,
        )

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> TextRow:
        """Return a row.

        Raises:
            IndexError: if there is no such row.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        index %= len(self)
        sequences, documents, targets = [], [], []
        for pair in self.rows[index]:
            stop = int(self.ends[pair])
            start = int(self.ends[pair - 1]) if pair else 0
            size = stop - start
            sequences.append(self.tokens[start:stop].long())
            documents.append(self.items[pair].expand(size))
            targets.append(torch.arange(size) >= size - self.completions[pair])
        identity = index if self.packed else int(self.items[self.rows[index][0]])
        return TextRow(torch.cat(sequences), torch.cat(documents), identity, torch.cat(targets))
