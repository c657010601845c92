"""Packing: documents as rows of equally many tokens, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ebmlm.data.row import TextRow
from ebmlm.data.source import Document
from ebmlm.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["PackedText", "PackingReport"]

# Enough texts at a time to keep a parallel tokeniser busy, few enough to stop soon after the rows
# that were asked for are full.
_BATCH = 32


@dataclass(frozen=True)
class PackingReport:
    """What went into packed text.

    Attributes:
        rows: rows there are.
        tokens: tokens in them.
        documents: documents, or excerpts of documents, that at least one of them belongs to.
        characters: characters that were tokenised for it.
        dropped: tokens at the end that were too few for another row; not those that were not
            looked at because the rows asked for were full.
        end_token: the end-of-sequence token id put after each complete document, if any.
    """

    rows: int
    tokens: int
    documents: int
    characters: int
    dropped: int
    end_token: int | None


@dataclass(frozen=True, eq=False)
class PackedText(Dataset[TextRow]):
    """Text as rows of equally many tokens, cut from one stream of documents.

    A row goes on where the one before stopped, so a document may reach over several and a row may
    hold several; ``TextRow.documents`` tells their tokens apart. The last row may be shorter.
    Built by ``of``.

    Attributes:
        stream: (token,) the ids of all tokens, int32.
        ends: (document,) the index in ``stream`` after each document's last token, int64.
        length: tokens of a row.
        report: what went in.
    """

    stream: Tensor
    ends: Tensor
    length: int
    report: PackingReport

    @classmethod
    def of(
        cls,
        documents: Sequence[Document],
        tokenizer: PreTrainedTokenizerBase,
        length: int,
        *,
        rows: int | None = None,
        end: bool = True,
    ) -> PackedText:
        """Tokenise documents in the order given and pack them.

        A rest of at least half a row becomes a shorter last row; a smaller one is dropped and
        counted. Only as many documents are tokenised as the rows need, and the first rows are the
        same however many are asked for.

        Args:
            documents: the documents.
            tokenizer: of the model; adds no special tokens of its own here.
            length: tokens of a row, at least 2 (the first of a document is never predicted).
            rows: rows at most; all there are if not given.
            end: whether the tokeniser's end-of-sequence token, where it has one, follows each
                complete document.

        Raises:
            UserError: if ``length`` or ``rows`` is too small, there is no document, or the text
                has too few tokens for a single row.
        """
        if length < 2:
            raise UserError(
                f"length is {length}; a row needs at least 2 tokens, one to predict from and one"
                " to predict"
            )
        if rows is not None and rows < 1:
            raise UserError(f"rows is {rows}; ask for at least 1 row, or leave it out for all")
        if not documents:
            raise UserError("there is no text to pack: the list of documents is empty")
        end_token = tokenizer.eos_token_id if end else None
        wanted = None if rows is None else rows * length
        parts: list[Tensor] = []
        sizes: list[int] = []
        total = characters = 0
        for document, own in _tokenised(documents, tokenizer):
            ended = document.complete and end_token is not None
            tokens = [*own, end_token] if ended else own
            characters += len(document.text)
            total += len(tokens)
            if tokens:
                parts.append(torch.tensor(tokens, dtype=torch.int32))
                sizes.append(len(tokens))
            if wanted is not None and total >= wanted:
                break
        available = total if wanted is None else min(total, wanted)
        rest = available % length
        dropped = rest if rest < max(2, length / 2) else 0
        kept = available - dropped
        if kept == 0:
            raise UserError(
                f"the text has {total} tokens, too few for one row of length {length} (half of"
                " which must be there); give more text or a smaller length"
            )
        ends = torch.tensor(sizes, dtype=torch.int64).cumsum(0)
        count = int(torch.searchsorted(ends, kept)) + 1
        report = PackingReport(
            rows=-(-kept // length),
            tokens=kept,
            documents=count,
            characters=characters,
            dropped=dropped,
            end_token=end_token,
        )
        return cls(torch.cat(parts)[:kept].clone(), ends[:count].clamp(max=kept), length, report)

    def __len__(self) -> int:
        return self.report.rows

    def __getitem__(self, index: int) -> TextRow:
        """Return a row; its id is its index.

        Raises:
            IndexError: if there is no such row.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        index %= len(self)
        start = index * self.length
        sequence = self.stream[start : start + self.length].long()
        place = torch.arange(start, start + len(sequence))
        documents = torch.searchsorted(self.ends, place, right=True)
        return TextRow(sequence, documents - documents[0], index)


def _tokenised(
    documents: Sequence[Document], tokenizer: PreTrainedTokenizerBase
) -> Iterator[tuple[Document, list[int]]]:
    """Yield each document with its token ids, tokenising a batch at a time as they are asked."""
    remaining = iter(documents)
    while batch := list(islice(remaining, _BATCH)):
        # verbose=False: no warning about texts longer than the model; rows are cut from them.
        ids = tokenizer(
            [document.text for document in batch],
            add_special_tokens=False,
            return_attention_mask=False,
            verbose=False,
        )["input_ids"]
        yield from zip(batch, ids, strict=True)
