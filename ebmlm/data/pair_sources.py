"""Prompt-completion pairs from files and data sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ebmlm.data.conventions import BlankRowError, Convention, Side, convention_of
from ebmlm.data.dataset_loading import check_dataset, load_dataset
from ebmlm.data.decoding import check_encoding
from ebmlm.data.json_rows import json_rows, kind
from ebmlm.data.pair import Pair, PairSource
from ebmlm.data.source import Corpus
from ebmlm.data.suggestions import missing_name
from ebmlm.errors import UserError

__all__ = ["DatasetPairs", "HuggingFacePairs", "JsonLinesPairs", "pairs_of"]


@dataclass(frozen=True)
class JsonLinesPairs(PairSource):
    """A JSON Lines file: every line an object with a prompt and its completion.

    Lines without a prompt or completion (null, or a completion of nothing but white space) are
    skipped and counted. Anything else that is wrong with a line ends the reading, named by its
    line number.

    Attributes:
        path: the file.
        key_column: the column that says what belongs together (a source file, a package): its
            rows all go the same way. If not given, each row stands for itself and equal pairs go
            the same way.
        convention: which columns hold what. If not given it is told by the first line's columns:
            ``prompt`` and ``completion``, ``messages``, or ``text``. Other columns are kept.
        encoding: the file's encoding, by Python's name for it.

    Raises:
        UserError: when built, if the encoding is unknown.
    """

    path: str
    key_column: str | None = None
    convention: Convention | None = None
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        check_encoding(self.encoding)

    def read(self) -> Corpus[Pair]:
        """Read every line.

        Raises:
            UserError: if the file cannot be read, a line is not in the convention, or no line
                holds a pair.
        """
        skipped: Counter[str] = Counter()
        rows = json_rows(self.path, self.encoding, skipped)
        return pairs_of(rows, self.path, self.convention, self.key_column, skipped)


@dataclass(frozen=True)
class DatasetPairs(PairSource):
    """The rows of a ``datasets.Dataset`` that is already there, each one pair.

    Rows without a prompt or completion are skipped and counted.

    Attributes:
        dataset: the dataset; not a streamed one, whose rows have no end to split.
        key_column: see :class:`JsonLinesPairs`.
        convention: see :class:`JsonLinesPairs`.
    """

    # Not Dataset: the class is deferred, and the command line must be able to read this hint.
    dataset: Any
    key_column: str | None = None
    convention: Convention | None = None

    def read(self) -> Corpus[Pair]:
        """Read every row.

        Raises:
            UserError: if a row is not in the convention, or none holds a pair.
        """
        return _read(self.dataset, "the dataset", self.convention, self.key_column)


@dataclass(frozen=True)
class HuggingFacePairs(PairSource):
    """The rows of one split of a Hugging Face dataset, each one pair.

    Rows without a prompt or completion are skipped and counted. They are held in memory: of
    a very large dataset take a part, such as ``train[:100000]``.

    Attributes:
        path: a dataset's name on the hub, a local folder of data files, or a local folder written
            by ``save_to_disk``.
        name: the dataset's configuration, where it has several.
        split: the split to read; for hub names and data files also a part of one, in the
            notation of ``datasets``.
        key_column: see :class:`JsonLinesPairs`.
        convention: see :class:`JsonLinesPairs`.
    """

    path: str
    name: str | None = None
    split: str = "train"
    key_column: str | None = None
    convention: Convention | None = None

    def read(self) -> Corpus[Pair]:
        """Load the dataset and read every row.

        Raises:
            UserError: if it cannot be loaded (no such folder, name, configuration or split, or
                the hub cannot be reached), a row is not in the convention, or none holds a pair.
        """
        dataset = load_dataset(self.path, self.name, self.split)
        return _read(dataset, f"dataset {self.path}", self.convention, self.key_column)


def pairs_of(
    rows: Iterable[tuple[str, Mapping[str, Any]]],
    source: str,
    convention: Convention | None = None,
    key_column: str | None = None,
    skipped: Counter[str] | None = None,
) -> Corpus[Pair]:
    """Return the pairs of rows that all are in one convention.

    Args:
        rows: each row's name for messages, and its values by column.
        source: the name of the whole, for messages.
        convention: which columns hold what; if not given, told by the first row's columns.
        key_column: the column of the key; the pair's fingerprint if not given, or null in a row.
        skipped: what was left out before, by reason.

    Raises:
        UserError: if a row is not in the convention, texts and conversations are mixed, or no row
            holds a pair.
    """
    skipped = Counter() if skipped is None else skipped
    pairs: list[Pair] = []
    first: tuple[str, Side] | None = None
    for place, row in rows:
        if convention is None:
            convention = convention_of(place, row)
        key = None if key_column is None else _key(place, row, key_column)
        try:
            prompt, completion = convention.sides(place, row)
        except BlankRowError as error:
            skipped[error.reason] += 1
            continue
        first = first or (place, completion)
        if isinstance(completion, str) is not isinstance(first[1], str):
            raise UserError(
                f"{place} is {_form(completion)} and {first[0]} {_form(first[1])}: all rows must"
                " be of one form; read the two kinds as two sources"
            )
        columns = {name: row[name] for name in row if name not in convention.columns}
        pair = Pair("", prompt, completion, columns)
        pairs.append(replace(pair, key=pair.fingerprint() if key is None else key))
    if not pairs:
        why = ", ".join(f"{reason}: {count}" for reason, count in sorted(skipped.items()))
        raise UserError(
            f"{source} holds no prompt-completion pair (skipped: {why or 'nothing'}); check the"
            " source and its convention"
        )
    return Corpus(tuple(pairs), dict(skipped))


def _read(
    dataset: Any, place: str, convention: Convention | None, key_column: str | None
) -> Corpus[Pair]:
    check_dataset(dataset, place)
    names = dataset.column_names
    convention = convention or convention_of(place, names)
    for column in (*convention.columns, *([] if key_column is None else [key_column])):
        if column not in names:
            raise UserError(missing_name(place, "column", column, names))

    def rows() -> Iterator[tuple[str, Mapping[str, Any]]]:
        for number, row in enumerate(dataset.with_format(None)):
            yield f"{place} row {number}", row

    return pairs_of(rows(), place, convention, key_column)


def _key(place: str, row: Mapping[str, Any], column: str) -> str | None:
    if column not in row:
        raise UserError(missing_name(place, "column", column, row))
    value = row[column]
    if value is None:
        return None
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    raise UserError(
        f"{place} has {kind(value)} in column {column!r}; a key must be text or a whole number:"
        " name another column as key_column"
    )


def _form(side: Side) -> str:
    return "text" if isinstance(side, str) else "a conversation"
