"""Orders and excerpts of documents, so that a few rows of text speak for all of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

from ebmlm.data.source import Document, ItemT

__all__ = ["cut", "excerpts", "shuffled"]


def shuffled(
    documents: Sequence[ItemT], salt: str, name: Callable[[ItemT], str] = lambda item: item.key
) -> list[ItemT]:
    """Return the documents in an arbitrary order that every machine agrees on.

    They are sorted by a hash of ``salt`` and their name, so a new document finds a place without
    moving the others among themselves.

    Args:
        documents: documents, or anything else with a key.
        salt: another one gives another order.
        name: what tells one from the others; its key if not given.
    """

    def place(document: ItemT) -> bytes:
        return hashlib.sha256(f"{salt}\0{name(document)}".encode("utf-8", "surrogatepass")).digest()

    return sorted(documents, key=place)


def excerpts(documents: Sequence[Document], characters: int) -> list[Document]:
    """Return all documents cut into excerpts of about ``characters`` characters, in order.

    Cuts fall on line ends where lines are not much longer than an excerpt. Only a document's last
    excerpt is complete. Together the excerpts are the whole text.
    """
    pieces = []
    for document in documents:
        for start, stop in cut(document.text, characters):
            pieces.append(
                Document(
                    key=f"{document.key}\0{start}",
                    text=document.text[start:stop],
                    complete=document.complete and stop == len(document.text),
                )
            )
    return pieces


def cut(text: str, characters: int) -> Iterator[tuple[int, int]]:
    """Yield the start and stop of consecutive pieces of ``text``, which together are all of it.

    A piece goes on to the first line end from ``characters`` on, but not past twice that. What
    would be left over with less than half of ``characters`` stays with the last piece.
    """
    start = 0
    while start < len(text):
        latest = start + 2 * characters
        line_end = text.find("\n", start + characters - 1, latest)
        stop = latest if line_end < 0 else line_end + 1
        if len(text) - stop < characters / 2:
            stop = len(text)
        yield start, stop
        start = stop
