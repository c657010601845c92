"""Documents that are lines of a JSON Lines file."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ebmlm.data.decoding import UnusableFileError, check_encoding, decode, read_bytes
from ebmlm.data.source import Corpus, Document, TextSource, fingerprint
from ebmlm.data.suggestions import missing_name, nearest
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
        # Not splitlines, which also cuts at characters that may stand inside a JSON string.
        for number, line in enumerate(self._content().split("\n"), start=1):
            if not line.strip():
                skipped["blank line"] += 1
                continue
            place = f"{self.path} line {number}"
            row = _parse(place, line)
            text = _value(place, row, self.column)
            if text is None or not text.strip():
                skipped["no text"] += 1
                continue
            key = None if self.key_column is None else _value(place, row, self.key_column)
            documents.append(Document(fingerprint(text) if key is None else key, text))
        if not documents:
            raise UserError(
                f"{self.path} holds no text in column {self.column!r}: every one of its"
                f" {sum(skipped.values())} lines is blank there; check the file and column"
            )
        return Corpus(tuple(documents), dict(skipped))

    def _content(self) -> str:
        path = Path(self.path).expanduser()
        if not path.exists():
            siblings = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
            raise UserError(
                f"{self.path} does not exist{nearest(path.name, siblings)};"
                " path must name a JSON Lines file"
            )
        try:
            content = decode(read_bytes(path), self.encoding)
        except UnusableFileError as error:
            raise UserError(
                f"{self.path} {error.detail}; path must name a JSON Lines file in the encoding"
                f" {self.encoding!r}: mend it, or set encoding"
            ) from error
        if not content.strip():
            raise UserError(f"{self.path} is empty; it needs one JSON object a line")
        return content.removesuffix("\n")


def _parse(place: str, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{place} is not JSON: {error.msg} at character {error.colno}; every line must be"
            " one whole JSON object"
        ) from error
    except (RecursionError, ValueError) as error:
        raise UserError(f"{place} is not JSON that Python can read: {error}; mend it") from error
    if not isinstance(row, dict):
        raise UserError(f"{place} is {_kind(row)}; every line must be a JSON object")
    return row


def _value(place: str, row: dict[str, Any], column: str) -> str | None:
    """Return the text in a column, None for null."""
    if column not in row:
        raise UserError(missing_name(place, "column", column, row))
    value = row[column]
    if value is None:
        return None
    if not isinstance(value, str):
        raise UserError(
            f"{place} has {_kind(value)} in column {column!r}; it must be text: mend the line or"
            " name another column"
        )
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(
            f"{place} has half a surrogate pair in column {column!r} at character"
            f" {error.start + 1}, which is no text; mend the escape there"
        ) from error
    return value


def _kind(value: object) -> str:
    names = {
        dict: "an object",
        list: "an array",
        str: "a text",
        int: "a number",
        float: "a number",
        bool: "a truth value",
        type(None): "null",
    }
    return names[type(value)]
