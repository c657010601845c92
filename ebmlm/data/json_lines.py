"""Documents that are lines of a JSON Lines file."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from ebmlm.data.decoding import check_encoding
from ebmlm.data.json_rows import json_rows, text_in
from ebmlm.data.source import Corpus, Document, TextSource, fingerprint
from ebmlm.errors import UserError

__all__ = ["JsonLines"]


@dataclass(frozen=True)
class JsonLines(TextSource):
    """A JSON Lines file: every line an object, one of whose columns is a document's text.

    Lines without text (blank lines, null, empty or white text) are skipped and counted. Anything
    else that is wrong with a line ends the reading, named by its line number.

    Attributes:
        path: the file.
        column: the column that holds the text.
        key_column: the column that says what belongs together (a repository, an author): its rows
            all go to training or all to validation. If not given, each row stands for itself and
            equal texts go the same way.
        encoding: the file's encoding, by Python's name for it.

    Raises:
        UserError: when built, if the encoding is unknown.
    """

    path: str
    column: str = "text"
    key_column: str | None = None
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        check_encoding(self.encoding)

    def read(self) -> Corpus[Document]:
        """Read every line.

        Raises:
            UserError: if the file does not exist, is empty or not in the encoding, or if a line
                does not parse, is no object, or lacks a column or a text in it.
        """
        skipped: Counter[str] = Counter()
        documents = []
        for place, row in json_rows(self.path, self.encoding, skipped):
            text = text_in(place, row, self.column)
            if text is None or not text.strip():
                skipped["no text"] += 1
                continue
            key = None if self.key_column is None else text_in(place, row, self.key_column)
            documents.append(Document(fingerprint(text) if key is None else key, text))
        if not documents:
            raise UserError(
                f"{self.path} holds no text in column {self.column!r}: every one of its"
                f" {sum(skipped.values())} lines is blank there; check the file and column"
            )
        return Corpus(tuple(documents), dict(skipped))
