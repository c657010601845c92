from __future__ import annotations

from pathlib import Path

import datasets
import pytest

from ebmlm.data import DatasetDocuments, HuggingFaceDataset
from ebmlm.errors import UserError


@pytest.fixture
def rows() -> datasets.Dataset:
    return datasets.Dataset.from_dict(
        {"text": ["one", None, " ", "two"], "repo": ["r", "r", "s", None], "size": [1, 2, 3, 4]}
    )


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


def test_rows_become_documents_and_blank_ones_are_counted(rows: datasets.Dataset) -> None:
    corpus = DatasetDocuments(rows).read()
    assert [each.text for each in corpus.documents] == ["one", "two"]
    assert corpus.skipped == {"no text": 2}


def test_key_is_the_text_or_the_key_column(rows: datasets.Dataset) -> None:
    plain = DatasetDocuments(rows).read().documents
    turned = DatasetDocuments(rows.select([3, 2, 1, 0])).read().documents
    assert {each.text: each.key for each in plain} == {each.text: each.key for each in turned}
    grouped = DatasetDocuments(rows, key_column="repo").read().documents
    assert [each.key for each in grouped] == ["r", plain[1].key]


@pytest.mark.parametrize("form", ["numpy", "pandas", "arrow"])
def test_formatted_dataset_reads_the_same(rows: datasets.Dataset, form: str) -> None:
    assert DatasetDocuments(rows.with_format(form)).read() == DatasetDocuments(rows).read()


def test_missing_column_names_the_nearest(rows: datasets.Dataset) -> None:
    with pytest.raises(UserError, match=r"no column 'txt' \(did you mean 'text'\?\); it has"):
        DatasetDocuments(rows, column="txt").read()
    with pytest.raises(UserError, match=r"no column 'rep' \(did you mean 'repo'"):
        DatasetDocuments(rows, key_column="rep").read()


def test_column_of_another_type_is_refused(rows: datasets.Dataset) -> None:
    with pytest.raises(UserError, match="type int64 in column 'size'"):
        DatasetDocuments(rows, column="size").read()
    lists = datasets.Dataset.from_dict({"text": [["a"], ["b"]]})
    with pytest.raises(UserError, match=r"values of type .* in column 'text'"):
        DatasetDocuments(lists).read()


def test_dataset_without_text_is_an_error(rows: datasets.Dataset) -> None:
    with pytest.raises(UserError, match="it has 2 rows, all of them blank"):
        DatasetDocuments(rows.select([1, 2])).read()


def test_what_is_no_dataset_is_refused(rows: datasets.Dataset) -> None:
    with pytest.raises(UserError, match="the dataset is a DatasetDict"):
        DatasetDocuments(datasets.DatasetDict(train=rows)).read()
    with pytest.raises(UserError, match="finite part of a stream"):
        DatasetDocuments(rows.to_iterable_dataset()).read()


def test_saved_dataset_is_read(rows: datasets.Dataset, tmp_path: Path) -> None:
    rows.save_to_disk(tmp_path / "saved")
    source = HuggingFaceDataset(str(tmp_path / "saved"))
    assert source.read() == DatasetDocuments(rows).read()
    with pytest.raises(UserError, match="no split 'test'; it has 'train'"):
        HuggingFaceDataset(str(tmp_path / "saved"), split="test").read()
    with pytest.raises(UserError, match="name 'en' means nothing there"):
        HuggingFaceDataset(str(tmp_path / "saved"), name="en").read()
    with pytest.raises(UserError, match=r"saved has no column 'txt'"):
        HuggingFaceDataset(str(tmp_path / "saved"), column="txt").read()


def test_saved_splits_are_told_apart(rows: datasets.Dataset, tmp_path: Path) -> None:
    both = datasets.DatasetDict(train=rows.select([0]), test=rows.select([3]))
    both.save_to_disk(tmp_path / "saved")
    source = HuggingFaceDataset(str(tmp_path / "saved"), split="test")
    assert [each.text for each in source.read().documents] == ["two"]
    with pytest.raises(UserError, match=r"no split 'tset' \(did you mean 'test'\?\)"):
        HuggingFaceDataset(str(tmp_path / "saved"), split="tset").read()


def test_folder_of_data_files_is_read(rows: datasets.Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    rows.to_json(folder / "train.jsonl")
    source = HuggingFaceDataset(str(folder), split="train[:2]")
    assert [each.text for each in source.read().documents] == ["one"]
    with pytest.raises(UserError, match=r"split 'nope'.* cannot be loaded from this folder"):
        HuggingFaceDataset(str(folder), split="nope").read()


def test_missing_folder_and_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere does not exist"):
        HuggingFaceDataset(str(tmp_path / "nowhere")).read()
    (tmp_path / "rows.jsonl").write_text("{}")
    with pytest.raises(UserError, match=r"is a file; .* use the source JsonLines"):
        HuggingFaceDataset(str(tmp_path / "rows.jsonl")).read()


def test_hub_out_of_reach_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("cannot reach\n  the hub")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(UserError, match=r"'someone/rows' .*: cannot reach the hub; check") as error:
        HuggingFaceDataset("someone/rows").read()
    assert "\n" not in str(error.value)
