"""Loading a Hugging Face dataset, and saying why it cannot be loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ebmlm.data.suggestions import missing_name
from ebmlm.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["check_dataset", "load_dataset"]


def load_dataset(path: str, name: str | None, split: str) -> Dataset:
    """Return one split of a dataset on the hub, of a folder of data files or a saved dataset.

    Args:
        path: a dataset's name on the hub, a local folder of data files, or a local folder written
            by ``save_to_disk``.
        name: the dataset's configuration, where it has several.
        split: the split; for hub names and data files also a part of one, in the notation of
            ``datasets``.

    Raises:
        UserError: if it cannot be loaded.
    """
    import datasets

    folder = Path(path).expanduser()
    if folder.exists() and not folder.is_dir():
        raise UserError(
            f"{path} is a file; path must name a dataset or a folder: for a JSON Lines"
            " file use the source JsonLines (of pairs, JsonLinesPairs), for text files TextFiles"
        )
    if not folder.exists() and path.startswith((".", "/", "~")):
        raise UserError(
            f"{path} does not exist; path must name a local folder or a dataset's name on the hub"
        )
    saved = (folder / "state.json", folder / "dataset_dict.json")
    try:
        if any(file.exists() for file in saved):
            return _saved(path, folder, name, split)
        where = str(folder) if folder.exists() else path
        return datasets.load_dataset(where, name, split=split)
    except UserError:
        raise
    except (
        OSError,
        ValueError,
        RuntimeError,
        ImportError,
        datasets.exceptions.DatasetsError,
    ) as error:
        reason = " ".join((str(error) or type(error).__name__).split())
        where = "from this folder" if folder.exists() else "from the cache or the hub"
        raise UserError(
            f"dataset {path!r} (name {name!r}, split {split!r}) cannot be"
            f" loaded {where}: {reason}; check path, name and split, or name a local folder"
        ) from error


def _saved(path: str, folder: Path, name: str | None, split: str) -> Dataset:
    import datasets

    if name is not None:
        raise UserError(
            f"{path} was written by save_to_disk and has no configurations: name"
            f" {name!r} means nothing there, leave it out"
        )
    saved = datasets.load_from_disk(str(folder))
    if isinstance(saved, datasets.DatasetDict):
        if split not in saved:
            raise UserError(missing_name(path, "split", split, map(str, saved)))
        return saved[split]
    # One dataset without a split's name is what "train" means to load_dataset, too.
    only = str(saved.split or "train")
    if split != only:
        raise UserError(missing_name(path, "split", split, [only]))
    return saved


def check_dataset(dataset: Dataset, place: str) -> None:
    """Refuse what is not a ``datasets.Dataset``, naming it ``place``.

    Raises:
        UserError: if so.
    """
    import datasets

    if not isinstance(dataset, datasets.Dataset):
        raise UserError(
            f"{place} is a {type(dataset).__name__}; it must be a datasets.Dataset: choose a split"
            " of a DatasetDict, and take a finite part of a stream"
        )
