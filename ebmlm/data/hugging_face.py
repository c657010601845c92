"""Documents that are rows of a Hugging Face dataset."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ebmlm.data.dataset_loading import check_dataset, load_dataset
from ebmlm.data.source import Corpus, Document, TextSource, fingerprint
from ebmlm.data.suggestions import missing_name
from ebmlm.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["DatasetDocuments", "HuggingFaceDataset"]


@dataclass(frozen=True)
class DatasetDocuments(TextSource):
    """The rows of a ``datasets.Dataset`` that is already there, each one document.

    Rows without text (null, empty or white) are skipped and counted.

    Attributes:
        dataset: the dataset; not a streamed one, whose rows have no end to split.
        column: the column that holds the text.
        key_column: the column that says what belongs together (a repository, an author): its rows
            all go to training or all to validation. If not given, each row stands for itself and
            equal texts go the same way.
    """

    # Not Dataset: the class is deferred, and the command line must be able to read this hint.
    dataset: Any
    column: str = "text"
    key_column: str | None = None

    def read(self) -> Corpus[Document]:
        """Read every row.

        Raises:
            UserError: if a column is missing or holds no text, or every row is blank.
        """
        return _read(self.dataset, "the dataset", self.column, self.key_column)


@dataclass(frozen=True)
class HuggingFaceDataset(TextSource):
    """The rows of one split of a Hugging Face dataset, each one document.

    Rows without text (null, empty or white) are skipped and counted. The texts are held in
    memory: of a very large dataset take a part, such as ``train[:100000]``.

    Attributes:
        path: a dataset's name on the hub, a local folder of data files, or a local folder written
            by ``save_to_disk``.
        name: the dataset's configuration, where it has several.
        split: the split to read; for hub names and data files also a part of one, in the
            notation of ``datasets``.
        column: the column that holds the text.
        key_column: the column that says what belongs together (a repository, an author): its rows
            all go to training or all to validation. If not given, each row stands for itself and
            equal texts go the same way.
    """

    path: str
    name: str | None = None
    split: str = "train"
    column: str = "text"
    key_column: str | None = None

    def read(self) -> Corpus[Document]:
        """Load the dataset and read every row.

        Raises:
            UserError: if it cannot be loaded (no such folder, name, configuration or split, or
                the hub cannot be reached), a column is missing or holds no text, or every row is
                blank.
        """
        return _read(
            load_dataset(self.path, self.name, self.split),
            f"dataset {self.path}",
            self.column,
            self.key_column,
        )


def _read(dataset: Dataset, place: str, column: str, key_column: str | None) -> Corpus[Document]:
    check_dataset(dataset, place)
    columns = [column] if key_column is None else [column, key_column]
    for each in columns:
        if each not in dataset.column_names:
            raise UserError(missing_name(place, "column", each, dataset.column_names))
        kind = getattr(dataset.features[each], "dtype", type(dataset.features[each]).__name__)
        if kind not in ("string", "large_string"):
            raise UserError(
                f"{place} has values of type {kind} in column {each!r}, which must hold text;"
                f" name another column of {', '.join(map(repr, dataset.column_names))}"
            )
    skipped: Counter[str] = Counter()
    documents = []
    for batch in dataset.select_columns(columns).with_format(None).iter(batch_size=1000):
        keys = batch[columns[-1]] if key_column is not None else [None] * len(batch[column])
        for text, key in zip(batch[column], keys, strict=True):
            if text is None or not text.strip():
                skipped["no text"] += 1
            else:
                documents.append(Document(fingerprint(text) if key is None else key, text))
    if not documents:
        raise UserError(
            f"{place} holds no text in column {column!r}: it has {len(dataset)} rows, all of them"
            " blank there; check column and split"
        )
    return Corpus(tuple(documents), dict(skipped))
