"""Text for training and validation, from source to packed rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ebmlm.data.base import PreparedData, RunData
from ebmlm.data.excerpts import excerpts, shuffled
from ebmlm.data.packing import PackedText
from ebmlm.data.source import Document, TextSource
from ebmlm.data.split import HashSplit, Split
from ebmlm.errors import UserError
from ebmlm.texts import Texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["TextData"]

# An excerpt of so many characters for each token of a row fills about one row: English and code
# have 3 to 5 characters a token. Only how many rows an excerpt fills depends on it.
_CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True)
class TextData(RunData):
    """Raw text to train on, and text held out from it.

    Where the number of rows is bounded, documents are cut into excerpts of about one row, and
    rows are packed from excerpts drawn evenly over the whole text: a few rows then stand for all
    of it, and not for the first files. Where it is not, documents stay whole.

    Attributes:
        source: where the documents come from.
        length: tokens of a row.
        split: which documents are held out.
        train_rows: rows to train on at most; null for all the text.
        validation_rows: rows to hold out at most; null for all held-out text.
        test_rows: rows to hold out for a last look at most; null for all.
        seed: of the order of the training text. Held-out rows do not depend on it, so that runs
            with different seeds compare.

    Raises:
        UserError: when built, if a number is out of range.
    """

    source: TextSource
    length: int = 256
    split: Split = field(default_factory=HashSplit)
    train_rows: int | None = None
    validation_rows: int | None = 64
    test_rows: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.length < 2:
            raise UserError(f"length is {self.length}; a row needs at least 2 tokens")
        for name in ("train_rows", "validation_rows", "test_rows"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(
                    f"{name} is {value}; ask for at least 1 row, or null for all there are"
                )

    def prepare(self, tokenizer: PreTrainedTokenizerBase) -> PreparedData:
        """Read the source, split it, and pack both parts with a model's tokeniser.

        Raises:
            UserError: if the source cannot be read, or a part has too little text for one row.
        """
        division = self.split.divide(self.source.read())
        validation = self._pack("validation", division.validation, tokenizer, self.validation_rows)
        train = self._pack(f"train {self.seed}", division.train, tokenizer, self.train_rows)
        test = self._pack("test", division.test, tokenizer, self.test_rows) if division.test else ()
        documents = {"train": len(division.train), "validation": len(division.validation)}
        if division.test:
            documents["test"] = len(division.test)
        summary = {
            "documents": documents,
            "duplicates": division.duplicates,
            "skipped": dict(division.skipped),
            "train": dataclasses.asdict(train.report),
            "validation": dataclasses.asdict(validation.report),
        }
        return PreparedData(train, validation, Texts(tokenizer, {}), summary, test)

    def _pack(
        self,
        salt: str,
        documents: Sequence[Document],
        tokenizer: PreTrainedTokenizerBase,
        rows: int | None,
    ) -> PackedText:
        if rows is not None:
            documents = excerpts(documents, _CHARACTERS_PER_TOKEN * self.length)
        try:
            return PackedText.of(shuffled(documents, salt), tokenizer, self.length, rows=rows)
        except UserError as error:
            part = salt.partition(" ")[0]
            raise UserError(f"{part} text: {error}") from error
