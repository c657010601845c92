"""Prompts without a completion: rows that end where a model is to go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ebmlm.data.collate import collate
from ebmlm.data.decoding import UnusableFileError, decode, read_bytes
from ebmlm.data.json_rows import json_rows, text_in
from ebmlm.data.pair import Pair
from ebmlm.data.pair_tokens import PairTokeniser
from ebmlm.data.row import TextRow, TextRows
from ebmlm.errors import UserError
from ebmlm.rollouts import SequenceBatch
from ebmlm.texts import Texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Prompt", "Prompts", "read_prompts"]


@dataclass(frozen=True, eq=False)
class Prompt:
    """What a model is to go on from.

    Attributes:
        id: of the sequence, on which draws depend.
        tokens: with what the tokeniser puts before a text of its own.
        item: ``prompt`` as text, and whatever else is known of it, for verifiers.
    """

    id: int
    tokens: Sequence[int]
    item: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Prompts:
    """Prompts of one model.

    Attributes:
        prompts: with different ids.
        texts: the tokeniser, and the prompts' items.
    """

    prompts: Sequence[Prompt]
    texts: Texts

    @classmethod
    def of(cls, items: Sequence[Mapping[str, Any]], tokeniser: PreTrainedTokenizerBase) -> Prompts:
        """Prompts from their texts: the column ``prompt`` of each item.

        Raises:
            UserError: for a prompt without any token.
        """
        pairs = [Pair("", item["prompt"], "\n") for item in items]
        prompts = []
        for number, (item, tokens) in enumerate(
            zip(items, PairTokeniser(tokeniser)(pairs), strict=True)
        ):
            found = [] if tokens is None else [*tokens.start, *tokens.prompt]
            if not found:
                raise UserError(
                    f"prompt {number + 1} ({item['prompt']!r}) has no token: a model needs at"
                    " least one to go on from"
                )
            prompts.append(Prompt(number, found, item))
        return cls.known(prompts, tokeniser)

    @classmethod
    def held_out(cls, rows: TextRows, texts: Texts, number: int, context: int) -> Prompts:
        """Prompts from rows of data, evenly spread over all there are.

        Of a prompt-completion pair it is the prompt; of raw text the first ``context`` tokens of
        a row's first document.
        """
        number = min(number, len(rows))
        prompts = []
        for place in range(number):
            row = rows[place * len(rows) // number]
            own = int((row.documents == row.documents[0]).long().cumprod(0).sum())
            if row.targets is None:
                tokens = row.sequence[: min(own, context)].tolist()
                item: Mapping[str, Any] = {"prompt": str(texts.tokeniser.decode(tokens))}
            else:
                begin = int(row.targets.long().argmax())
                tokens = row.sequence[:begin].tolist()
                item = texts.items[int(row.documents[0])]
            if tokens:
                prompts.append(Prompt(row.id, tokens, item))
        return cls.known(prompts, texts.tokeniser)

    @classmethod
    def known(cls, prompts: Sequence[Prompt], tokeniser: PreTrainedTokenizerBase) -> Prompts:
        """Prompts that have their tokens."""
        return cls(prompts, Texts(tokeniser, {one.id: one.item for one in prompts}))

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt."""
        return max(len(one.tokens) for one in self.prompts)

    def batches(self, size: int) -> Iterator[SequenceBatch]:
        """Yield ``size`` prompts at a time, each a document whose only target is still to come."""
        for start in range(0, len(self), size):
            yield collate([_row(one) for one in self.prompts[start : start + size]])


def read_prompts(path: str) -> list[dict[str, Any]]:
    """Read a file: of JSON Lines (``.jsonl``) the objects, which need a ``prompt``; else each line.

    Blank lines are left out.

    Raises:
        UserError: if the file cannot be read, or holds no prompt.
    """
    if path.endswith(".jsonl"):
        rows = [(place, row) for place, row in json_rows(path, "utf-8", Counter())]
        found = [row for place, row in rows if text_in(place, row, "prompt")]
    else:
        if not Path(path).is_file():
            raise UserError(f"{path}: no such file of prompts")
        try:
            text = decode(read_bytes(Path(path)), "utf-8")
        except UnusableFileError as error:
            raise UserError(f"{path} {error}") from error
        found = [{"prompt": line} for line in text.splitlines() if line.strip()]
    if not found:
        raise UserError(f"{path} holds no prompt: write one a line, or objects with a 'prompt'")
    return found


def _row(prompt: Prompt) -> TextRow:
    size = len(prompt.tokens) + 1
    # The last token stands for what is to be written; nothing looks at it.
    sequence = torch.tensor([*prompt.tokens, 0])
    documents = torch.full((size,), prompt.id)
    return TextRow(sequence, documents, prompt.id, torch.arange(size) == size - 1)
