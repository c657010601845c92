"""The text source: which documents are there?"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

__all__ = ["Corpus", "Divisible", "Document", "TextSource"]


class Divisible(Protocol):
    """What a split needs to know of an item: a document, or a prompt-completion pair."""

    @property
    def key(self) -> str:
        """What decides where it goes."""

    def fingerprint(self) -> str:
        """What is the same for items that are the same up to white space."""


ItemT = TypeVar("ItemT", bound=Divisible)


@dataclass(frozen=True)
class Document:
    """One text of a corpus.

    Attributes:
        key: what the split between training and validation looks at: a file's path relative to
            its source, a group's name, or the text's own fingerprint. Documents with one key
            always go the same way.
        text: the text itself.
        complete: whether the text runs to the document's end; false for an excerpt that stops
            before it, after which no end-of-sequence token belongs.
    """

    key: str
    text: str
    complete: bool = True

    def fingerprint(self) -> str:
        """Return the SHA-256 of the text with every run of white space taken for one space."""
        return fingerprint(self.text)


def fingerprint(text: str) -> str:
    """Return the SHA-256 (hexadecimal) of ``text``, runs of white space taken for one space."""
    # surrogatepass: a source may hold a lone surrogate, and a digest must exist all the same.
    words = " ".join(text.split()).encode("utf-8", "surrogatepass")
    return hashlib.sha256(words).hexdigest()


@dataclass(frozen=True)
class Corpus(Generic[ItemT]):
    """What a source holds.

    Attributes:
        documents: the documents or pairs, none blank, in an order that is the same every time.
        skipped: how many were left out, by reason.
    """

    documents: Sequence[ItemT]
    skipped: Mapping[str, int] = field(default_factory=dict)


class TextSource(ABC):
    """A place that documents come from.

    A source is built from its settings alone and touches nothing until it is read. A subclass
    owes one method, ``read``, and these promises:

    - the documents come in the same order every time, and each key depends on its own document
      only, so that adding a document moves no other one between training and validation;
    - no document is blank; what is left out is counted by reason in ``Corpus.skipped``;
    - input that the user named and that cannot be used is a ``UserError``, and so is a source
      without a single document.
    """

    @abstractmethod
    def read(self) -> Corpus[Document]:
        """Return every document.

        Raises:
            UserError: if what was named cannot be used, or nothing is there.
        """
