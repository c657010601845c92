"""What there is in a source: how much, how long, how it is split, and how alike the parts are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ebmlm.data.near_copies import NearCopies
from ebmlm.data.pair import Pair, PairSource
from ebmlm.data.source import Corpus, Document, TextSource
from ebmlm.data.split import Division, Split
from ebmlm.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Lengths", "SourceStatistics", "is_source", "text_of"]

LIMITS = (128, 256, 512, 1024)
"""Tokens of prompt and completion together at most, for the counts of what fits."""

Measure = Callable[[Sequence[str]], list[int]]


@dataclass(frozen=True)
class Lengths:
    """How long texts are.

    Attributes:
        total: of all.
        median: of one.
        nine_tenths: that no more than a tenth exceed.
        longest: of one.
    """

    total: int
    median: int
    nine_tenths: int
    longest: int

    @classmethod
    def of(cls, lengths: Sequence[int]) -> Lengths:
        """Measure at least one text by its length."""
        ordered = sorted(lengths)
        middle, most = (ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.9))
        return cls(sum(ordered), middle, most, ordered[-1])


@dataclass(frozen=True)
class SourceStatistics:
    """Statistics of a source.

    Attributes:
        items: how many documents or pairs.
        keys: how many different keys, which are what a split moves.
        skipped: how many were left out, by reason.
        unit: what lengths count: ``characters`` or ``tokens``.
        parts: by part, ``items``; ``lengths`` of each side; of pairs measured in tokens also how
            many ``fit`` in so many tokens.
        duplicates: dropped by the split because they stand in another part.
        unsplit: why there are no parts, empty if there are.
        near_copies: the ``threshold``, and how many items of each part have a near-copy on the
            other side of the split; None if that was not asked for or there are no pairs.
    """

    items: int
    keys: int
    skipped: Mapping[str, int]
    unit: str
    parts: Mapping[str, Mapping[str, Any]]
    duplicates: int = 0
    unsplit: str = ""
    near_copies: Mapping[str, float] | None = None

    @classmethod
    def of(
        cls,
        corpus: Corpus[Pair] | Corpus[Document],
        split: Split | None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        near_copies: NearCopies | None = None,
    ) -> SourceStatistics:
        """Measure what a source holds.

        Args:
            corpus: what :meth:`PairSource.read` or :meth:`TextSource.read` returned.
            split: cuts it in parts; a corpus too small to be cut is one part, ``all``, and without
                a split all of it is ``test``.
            tokenizer: to count tokens with; characters are counted without one.
            near_copies: to look for near-copies of held-out pairs in training.
        """
        items: Sequence[Any] = corpus.documents
        unsplit, division = "", Division[Any]((), (), 0, test=items)
        try:
            if split is not None:
                division = split.divide(corpus)
            named = {
                "train": division.train,
                "validation": division.validation,
                "test": division.test,
            }
        except UserError as error:
            unsplit, named = str(error), {"all": items}
        measure: Measure = _characters if tokenizer is None else _counter(tokenizer)
        overlap = None
        if near_copies is not None and division.train and isinstance(items[0], Pair):
            overlap = _overlap(division, near_copies)
        return cls(
            items=len(items),
            keys=len({item.key for item in items}),
            skipped=dict(corpus.skipped),
            unit="characters" if tokenizer is None else "tokens",
            parts={
                name: _part(part, measure, tokenizer is not None)
                for name, part in named.items()
                if part
            },
            duplicates=division.duplicates,
            unsplit=unsplit,
            near_copies=overlap,
        )


def text_of(side: str | Sequence[Mapping[str, str]]) -> str:
    """Return a prompt or completion as one text; of a conversation, its contents line by line."""
    return side if isinstance(side, str) else "\n".join(turn["content"] for turn in side)


def is_source(part: object) -> bool:
    """Whether an object is a class of sources that can be built."""
    return (
        isinstance(part, type)
        and issubclass(part, PairSource | TextSource)
        and not getattr(part, "__abstractmethods__", None)
    )


def _part(items: Sequence[Any], measure: Measure, tokens: bool) -> dict[str, Any]:
    if isinstance(items[0], Document):
        return {
            "items": len(items),
            "lengths": {"text": Lengths.of(measure([item.text for item in items]))},
        }
    prompts = measure([text_of(item.prompt) for item in items])
    completions = measure([text_of(item.completion) for item in items])
    part: dict[str, Any] = {
        "items": len(items),
        "lengths": {"prompt": Lengths.of(prompts), "completion": Lengths.of(completions)},
    }
    if tokens:
        # One more, for the end of the sequence.
        wholes = [sum(sides) + 1 for sides in zip(prompts, completions, strict=True)]
        part["fit"] = {limit: sum(each <= limit for each in wholes) for limit in LIMITS}
    return part


def _overlap(division: Division[Pair], near_copies: NearCopies) -> dict[str, float]:
    found = near_copies(division.train, [*division.validation, *division.test])
    validation = sum(place < len(division.validation) for place in found.held_out)
    return {
        "threshold": near_copies.threshold,
        "train": len(found.train),
        "validation": validation,
        "test": len(found.held_out) - validation,
    }


def _characters(texts: Sequence[str]) -> list[int]:
    return [len(text) for text in texts]


def _counter(tokenizer: PreTrainedTokenizerBase) -> Measure:
    def counted(texts: Sequence[str]) -> list[int]:
        encoded = tokenizer(
            list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False
        )
        return [len(ids) for ids in encoded["input_ids"]]

    return counted
