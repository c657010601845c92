"""Reading a JSON Lines file, and naming the line that is wrong."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ebmlm.data.decoding import UnusableFileError, decode, read_bytes
from ebmlm.data.suggestions import missing_name, nearest
from ebmlm.errors import UserError

__all__ = ["check_text", "json_rows", "kind", "text_in"]


def json_rows(
    path: str, encoding: str, skipped: Counter[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the object on every line, with the line's name for messages.

    Blank lines are counted in ``skipped``.

    Raises:
        UserError: if the file does not exist, is empty or not in the encoding, or a line does not
            parse or is no object.
    """
    # Not splitlines, which also cuts at characters that may stand inside a JSON string.
    for number, line in enumerate(_content(path, encoding).split("\n"), start=1):
        if line.strip():
            place = f"{path} line {number}"
            yield place, _parse(place, line)
        else:
            skipped["blank line"] += 1


def text_in(place: str, row: Mapping[str, Any], column: str) -> str | None:
    """Return the text in a column of a row, None for null.

    Raises:
        UserError: if the column is missing or holds something else.
    """
    if column not in row:
        raise UserError(missing_name(place, "column", column, row))
    value = row[column]
    if value is None:
        return None
    if not isinstance(value, str):
        raise UserError(
            f"{place} has {kind(value)} in column {column!r}; it must be text: mend the line or"
            " name another column"
        )
    check_text(place, column, value)
    return value


def check_text(place: str, column: str, text: str) -> None:
    """Refuse text that cannot be written as UTF-8.

    Raises:
        UserError: if so.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(
            f"{place} has half a surrogate pair in column {column!r} at character"
            f" {error.start + 1}, which is no text; mend the escape there"
        ) from error


def kind(value: object) -> str:
    """Return what JSON calls a value, with its article."""
    names = {
        dict: "an object",
        list: "an array",
        str: "a text",
        int: "a number",
        float: "a number",
        bool: "a truth value",
        type(None): "null",
    }
    return names.get(type(value), f"a {type(value).__name__}")


def _content(named: str, encoding: str) -> str:
    path = Path(named).expanduser()
    if not path.exists():
        siblings = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UserError(
            f"{named} does not exist{nearest(path.name, siblings)};"
            " path must name a JSON Lines file"
        )
    try:
        content = decode(read_bytes(path), encoding)
    except UnusableFileError as error:
        raise UserError(
            f"{named} {error.detail}; path must name a JSON Lines file in the encoding"
            f" {encoding!r}: mend it, or set encoding"
        ) from error
    if not content.strip():
        raise UserError(f"{named} is empty; it needs one JSON object a line")
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
        raise UserError(f"{place} is {kind(row)}; every line must be a JSON object")
    return row
