"""One row of text, as a dataset holds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

__all__ = ["TextRow", "TextRows"]


@dataclass(frozen=True, eq=False)
class TextRow:
    """Consecutive tokens of text; only real ones, padding is the collator's affair.

    Attributes:
        sequence: (position,) token ids, int64.
        documents: (position,) which document each token belongs to, counted from 0 in this row.
            Of prompt-completion pairs it is the id of each token's own item.
        id: a number that stays with the row however batches are cut.
        targets: (position,) which tokens cross-entropy counts; all if not given.
    """

    sequence: Tensor
    documents: Tensor
    id: int
    targets: Tensor | None = None

    def __len__(self) -> int:
        return int(self.sequence.shape[0])


class TextRows(Protocol):
    """Rows by index: a dataset, or a list."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> TextRow: ...
