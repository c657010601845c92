"""The nearest match, for messages about a name that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["missing_name", "nearest"]

_SHOWN = 20


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the known name nearest to ``name``, or nothing."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {matches[0]!r}?)" if matches else ""


def missing_name(place: str, kind: str, name: str, known: Iterable[str]) -> str:
    """Return the message that ``place`` has no ``kind`` called ``name``, and what it has.

    For example: ``rows.jsonl has no column 'txt' (did you mean 'text'?); it has 'id', 'text'``.
    """
    names = list(known)
    shown = ", ".join(repr(each) for each in names[:_SHOWN]) or "none"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{place} has no {kind} {name!r}{nearest(name, names)}; it has {shown}{more}"
