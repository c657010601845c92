"""Prompt-completion pairs for training and evaluation, from source to rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ebmlm.data.base import PreparedData, RunData
from ebmlm.data.chat import check_chat_template
from ebmlm.data.excerpts import shuffled
from ebmlm.data.near_copies import NearCopies
from ebmlm.data.pair import Pair, PairSource
from ebmlm.data.pair_part import PairPart, PairReport, item_id
from ebmlm.data.pair_tokens import PairTokeniser
from ebmlm.data.split import Division, HashSplit, Split
from ebmlm.data.truncation import KeepPromptEnd, Truncation
from ebmlm.errors import UserError
from ebmlm.texts import Texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["PairData"]


def _three_parts() -> Split:
    return HashSplit(0.1, test=0.1)


@dataclass(frozen=True)
class PairData(RunData):
    """Prompt-completion pairs to train on, and pairs held out from them.

    Every token of a row knows its pair's item, and only completions are targets. Where the number
    of rows is bounded they are drawn evenly over all pairs, whatever their order and keys. Pairs
    that stand twice in a part, white space aside and under one key, are taken once.

    Attributes:
        source: where the pairs come from.
        length: tokens of a row at most, prompt and completion together.
        split: which pairs are held out.
        truncation: what is kept of a pair longer than a row; counted in the summary.
        packing: whether a training row may hold several whole pairs. Held-out rows have one each.
        near_copies: drops training pairs that nearly equal a held-out one; null to keep them.
        train_rows: rows to train on at most; null for all pairs.
        validation_rows: rows to hold out at most; null for all held-out pairs.
        test_rows: rows to hold out for a last look at most; null for all.
        seed: of the order of the training pairs. Held-out rows do not depend on it, so that runs
            with different seeds compare.

    Raises:
        UserError: when built, if a number is out of range.
    """

    source: PairSource
    length: int = 512
    split: Split = field(default_factory=_three_parts)
    truncation: Truncation = field(default_factory=KeepPromptEnd)
    packing: bool = False
    near_copies: NearCopies | None = None
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
        """Read the source, split it, and tokenise all parts with a model's tokeniser.

        Raises:
            UserError: if the source cannot be read, a part has no row, or the data is
                conversations that the model's chat template cannot write.
        """
        corpus = self.source.read()
        if any(not isinstance(pair.prompt, str) for pair in corpus.documents):
            check_chat_template(tokenizer)
        division, repeated = _once(self.split.divide(corpus))
        division, overlap = self._apart(division)
        tokeniser = PairTokeniser(tokenizer)
        train = self._part(
            "train", division.train, tokeniser, self.train_rows, f"train {self.seed}", self.packing
        )
        validation = self._part("validation", division.validation, tokeniser, self.validation_rows)
        parts = {"train": train, "validation": validation}
        if division.test:
            parts["test"] = self._part("test", division.test, tokeniser, self.test_rows)
        summary: dict[str, Any] = {
            "documents": {name: len(getattr(division, name)) for name in parts},
            "duplicates": division.duplicates,
            "repeated": repeated,
            "near_copies": overlap,
            "skipped": dict(division.skipped),
            **{name: dataclasses.asdict(part.report) for name, part in parts.items()},
        }
        items = {key: item for part in parts.values() for key, item in part.items.items()}
        return PreparedData(
            train=train.rows,
            validation=validation.rows,
            texts=Texts(tokenizer, items),
            summary=summary,
            test=parts["test"].rows if "test" in parts else (),
        )

    def _apart(self, division: Division[Pair]) -> tuple[Division[Pair], dict[str, Any] | None]:
        """Drop near-copies from training; return also how many there were."""
        if self.near_copies is None:
            return division, None
        held_out = [*division.validation, *division.test]
        overlap = self.near_copies(division.train, held_out)
        copies = set(overlap.train)
        kept = [pair for place, pair in enumerate(division.train) if place not in copies]
        if not kept:
            raise UserError(
                f"none of {len(division.train)} pairs is left to train on: all are near-copies of"
                f" held-out pairs (threshold={self.near_copies.threshold}); split by a key_column"
                " that keeps copies together, or raise the threshold"
            )
        count = sum(place < len(division.validation) for place in overlap.held_out)
        told = {
            "threshold": self.near_copies.threshold,
            "train": len(copies),
            "validation": count,
            "test": len(overlap.held_out) - count,
        }
        return dataclasses.replace(division, train=kept), told

    def _part(
        self,
        name: str,
        pairs: Sequence[Pair],
        tokeniser: PairTokeniser,
        rows: int | None,
        salt: str | None = None,
        packing: bool = False,
    ) -> PairPart:
        ordered = shuffled(pairs, salt or name, lambda pair: str(item_id(pair)))
        part = PairPart.of(
            ordered, tokeniser, self.length, self.truncation, rows=rows, packing=packing
        )
        if not len(part.rows):
            raise UserError(f"{name} pairs: {_nothing(part.report, len(pairs), self.length)}")
        return part


def _nothing(report: PairReport, pairs: int, length: int) -> str:
    return (
        f"none of {pairs} is left: {report.too_long} are longer than {length} tokens and in"
        f" {report.no_tokens} there is nothing to predict; give more pairs or a larger length, or"
        " let truncation cut them"
    )


def _once(division: Division[Pair]) -> tuple[Division[Pair], int]:
    """Keep one of the pairs with the same id in each part; return also how many were dropped."""
    train, validation, test = (
        list({item_id(pair): pair for pair in reversed(part)}.values())[::-1]
        for part in (division.train, division.validation, division.test)
    )
    kept = dataclasses.replace(division, train=train, validation=validation, test=test)
    dropped = sum(
        len(before) - len(after)
        for before, after in (
            (division.train, train),
            (division.validation, validation),
            (division.test, test),
        )
    )
    return kept, dropped
