"""What a completion is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ebmlm.errors import UserError

__all__ = ["expected_text"]


def expected_text(row: Mapping[str, Any], column: str) -> str:
    """Return a row's column.

    Raises:
        UserError: if it is missing, or no text.
    """
    if column not in row:
        raise UserError(f"a row has no column {column!r}, only {', '.join(row) or 'none'}")
    text = row[column]
    if not isinstance(text, str):
        raise UserError(f"column {column!r} is {text!r}: it must be a text")
    return text
