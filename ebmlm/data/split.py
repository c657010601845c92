"""The split: which documents are trained on, and which are held out?"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, cast

from ebmlm.data.pair import PairSource
from ebmlm.data.source import Corpus, ItemT, TextSource
from ebmlm.errors import UserError

__all__ = ["Division", "HashSplit", "HeldOutSource", "Part", "Split"]


class Part(Enum):
    """The sides of a split."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True)
class Division(Generic[ItemT]):
    """A corpus cut in parts: nothing of ``validation`` or ``test`` stands in ``train``.

    Attributes:
        train: the documents or pairs to train on.
        validation: those held out.
        duplicates: how many were dropped because they stand in another part, up to white space:
            from ``train`` in favour of both others, from ``validation`` in favour of ``test``.
        skipped: how many the sources left out, by reason.
        test: those held out for a last look; empty where the split has no such part.
    """

    train: Sequence[ItemT]
    validation: Sequence[ItemT]
    duplicates: int
    skipped: Mapping[str, int] = field(default_factory=dict)
    test: Sequence[ItemT] = ()


class Split(ABC):
    """A rule that holds documents out.

    A subclass owes one method, ``divide``, that depends on the corpus and its own settings alone
    and drops from training whatever text is also held out; ``disjoint`` does that.
    """

    @abstractmethod
    def divide(self, corpus: Corpus[ItemT]) -> Division[ItemT]:
        """Cut a corpus in parts.

        Raises:
            UserError: if one of them would be empty.
        """


@dataclass(frozen=True)
class HashSplit(Split):
    """Hold out the documents or pairs whose hashed key falls below a fraction.

    A document's side depends on its own key and nothing else: not on the order, the machine or
    which other documents there are. Equal keys go the same way, so a split by file (or by any
    group that the source calls a key) is disjoint by construction. A text that stands under
    several keys, white space aside, is dropped from training if any of them is held out.
    Near-copies are not looked for.

    Attributes:
        validation: the fraction of keys to hold out, above 0 and below 1.
        salt: hashed with each key; another salt gives another split.
        test: the fraction to hold out for a last look, at least 0.

    Raises:
        UserError: when built, if the fraction is out of range.
    """

    validation: float = 0.1
    salt: str = "ebmlm"
    test: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.validation < 1:
            raise UserError(
                f"validation is {self.validation}; the fraction to hold out must be above 0 and"
                " below 1, such as 0.1"
            )
        if not 0 <= self.test < 1 - self.validation:
            raise UserError(
                f"test is {self.test}; the fraction must be at least 0 and leave something beside"
                f" validation {self.validation} to train on"
            )

    def assign(self, key: str) -> Part:
        """Return the side that documents with this key go to."""
        name = f"{self.salt}\0{key}".encode("utf-8", "surrogatepass")
        number = int.from_bytes(hashlib.sha256(name).digest()[:8], "big")
        if number < self.validation * 2**64:
            return Part.VALIDATION
        return Part.TEST if number < (self.validation + self.test) * 2**64 else Part.TRAIN

    def divide(self, corpus: Corpus[ItemT]) -> Division[ItemT]:
        """Cut a corpus in parts by its items' keys.

        Raises:
            UserError: if one of them would be empty.
        """
        parts: dict[Part, list[ItemT]] = {part: [] for part in Part}
        for document in corpus.documents:
            parts[self.assign(document.key)].append(document)
        train, validation, test = parts[Part.TRAIN], parts[Part.VALIDATION], parts[Part.TEST]
        advice = (
            f"the split looks at each document's key only (validation={self.validation},"
            f" salt={self.salt!r}): give more documents, another fraction or salt, or hold a"
            " source of its own out with HeldOutSource"
        )
        if self.test and not test:
            raise UserError(
                f"none of {len(corpus.documents)} documents is in the test part"
                f" (test={self.test}); {advice}"
            )
        held_out = disjoint(validation, test)
        if not held_out:
            raise UserError(f"none of {len(corpus.documents)} documents is held out; {advice}")
        kept = disjoint(train, [*held_out, *test])
        if not kept:
            raise UserError(
                f"none of {len(corpus.documents)} documents is left to train on:"
                f" {len(validation)} are held out and {len(train)} repeat their text; {advice}"
            )
        duplicates = len(train) + len(validation) - len(kept) - len(held_out)
        return Division(kept, held_out, duplicates, corpus.skipped, test)


@dataclass(frozen=True)
class HeldOutSource(Split):
    """Hold out a source of its own: a dataset's validation split, a folder of texts.

    Texts that stand in both, white space aside, are dropped from training and counted.

    Attributes:
        source: where the validation documents (or pairs, for pairs) come from.
    """

    source: TextSource | PairSource

    def divide(self, corpus: Corpus[ItemT]) -> Division[ItemT]:
        """Return the whole corpus against the held-out source.

        Raises:
            UserError: if the held-out source cannot be read, or holds every text of the corpus.
        """
        held_out = cast(Corpus[ItemT], self.source.read())
        kept = disjoint(corpus.documents, held_out.documents)
        if not kept:
            raise UserError(
                f"none of {len(corpus.documents)} documents is left to train on: the held-out"
                " source has all their texts; name another source for one of the two"
            )
        skipped = Counter(corpus.skipped) + Counter(held_out.skipped)
        dropped = len(corpus.documents) - len(kept)
        return Division(kept, held_out.documents, dropped, dict(skipped))


def disjoint(train: Sequence[ItemT], validation: Sequence[ItemT]) -> list[ItemT]:
    """Return the items of ``train`` whose text, white space aside, is not held out."""
    held_out = {document.fingerprint() for document in validation}
    return [document for document in train if document.fingerprint() not in held_out]
