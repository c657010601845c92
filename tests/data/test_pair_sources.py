from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pytest

from ebmlm.data import (
    Corpus,
    DatasetPairs,
    HuggingFacePairs,
    JsonLinesPairs,
    Messages,
    Pair,
    PromptCompletion,
)
from ebmlm.errors import UserError

ASK = {"role": "user", "content": "why?"}
ANSWER = {"role": "assistant", "content": "so"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.jsonl"


def read(path: Path, *rows: Any, **settings: Any) -> Corpus[Pair]:
    path.write_text("\n".join(map(json.dumps, rows)))
    return JsonLinesPairs(str(path), **settings).read()


def test_lines_become_pairs_and_keep_their_other_columns(path: Path) -> None:
    corpus = read(
        path,
        {"prompt": "a ", "completion": "b", "tests": ["x"], "n": 1},
        {"prompt": "", "completion": "c", "tests": [], "n": None},
    )
    first, second = corpus.documents
    assert (first.prompt, first.completion) == ("a ", "b")
    assert first.columns == {"tests": ["x"], "n": 1}
    assert (second.prompt, second.completion) == ("", "c")
    assert first.key == first.fingerprint() != second.key


def test_conversations_become_pairs(path: Path) -> None:
    (pair,) = read(path, {"messages": [ASK, ANSWER], "prompt": "why?"}).documents
    assert (pair.prompt, pair.completion) == ([ASK], [ANSWER])
    assert pair.columns == {"prompt": "why?"}
    (same,) = read(path, {"prompt": [ASK], "completion": [ANSWER]}).documents
    assert same.key == pair.key


def test_texts_become_pairs_without_a_prompt(path: Path) -> None:
    (pair,) = read(path, {"text": "a b", "id": 7}).documents
    assert (pair.prompt, pair.completion, pair.columns) == ("", "a b", {"id": 7})


def test_convention_may_be_named(path: Path) -> None:
    row = {"question": "a", "answer": "b", "text": "c"}
    (pair,) = read(path, row, convention=PromptCompletion("question", "answer")).documents
    assert (pair.prompt, pair.completion, pair.columns) == ("a", "b", {"text": "c"})


def test_rows_without_a_pair_are_counted(path: Path) -> None:
    path.write_text(
        '{"prompt": "a", "completion": ""}\n\n{"prompt": null, "completion": "b"}\n'
        '{"prompt": "a", "completion": "b"}\n'
    )
    corpus = JsonLinesPairs(str(path)).read()
    assert len(corpus.documents) == 1
    assert corpus.skipped == {"no completion": 1, "blank line": 1, "no prompt": 1}


def test_key_column_groups_pairs_and_stays_a_column(path: Path) -> None:
    corpus = read(
        path,
        {"prompt": "a", "completion": "b", "file": "f"},
        {"prompt": "a", "completion": "c", "file": 3},
        {"prompt": "a", "completion": "d", "file": None},
        {"prompt": "a", "completion": "e", "file": ""},
        key_column="file",
    )
    keys = [pair.key for pair in corpus.documents]
    assert keys == ["f", "3", corpus.documents[2].fingerprint(), ""]
    assert corpus.documents[0].columns == {"file": "f"}


def test_malformed_line_is_named_by_its_number(path: Path) -> None:
    good = {"prompt": "a", "completion": "b"}
    for bad, message in (
        ({"prompt": "a"}, "line 2 has no column 'completion'"),
        ({"text": "a"}, "line 2 has no column 'prompt'"),
        ({"prompt": "a", "completion": 3}, "line 2 has a number in column 'completion'"),
        (
            {"prompt": [ASK], "completion": [ANSWER]},
            r"line 2 is a conversation and .*rows\.jsonl line 1 text: all rows",
        ),
    ):
        with pytest.raises(UserError, match=message):
            read(path, good, bad)
    path.write_text(json.dumps(good) + "\n{")
    with pytest.raises(UserError, match="line 2 is not JSON"):
        JsonLinesPairs(str(path)).read()
    with pytest.raises(UserError, match="line 1 has a truth value in column 'k'; a key must be"):
        read(path, {**good, "k": True}, key_column="k")
    with pytest.raises(UserError, match="line 1 has no column 'fil'"):
        read(path, {**good, "file": "f"}, key_column="fil")


def test_source_without_a_pair_is_an_error(path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no .* pair \(skipped: no completion: 1\)"):
        read(path, {"prompt": "a", "completion": " "})


def test_unknown_encoding_is_refused_when_built() -> None:
    with pytest.raises(UserError, match="'utf-9' is not a text encoding"):
        JsonLinesPairs("rows.jsonl", encoding="utf-9")


ROWS = {
    "prompt": ["a", "b", "c"],
    "completion": ["x", None, "z"],
    "repo": ["r", "s", "r"],
    "n": [1, 2, 3],
}


@pytest.fixture
def rows() -> datasets.Dataset:
    return datasets.Dataset.from_dict(ROWS)


def test_dataset_reads_as_the_same_lines_do(path: Path, rows: datasets.Dataset) -> None:
    lines = [dict(zip(ROWS, values, strict=True)) for values in zip(*ROWS.values(), strict=True)]
    corpus = DatasetPairs(rows, key_column="repo").read()
    assert corpus == read(path, *lines, key_column="repo")
    assert corpus.skipped == {"no completion": 1}
    assert DatasetPairs(rows.with_format("numpy"), key_column="repo").read() == corpus


def test_dataset_of_conversations_is_read() -> None:
    # The table gives every message the columns of all: ``name`` is null but in one.
    table = datasets.Dataset.from_list(
        [{"messages": [{**ASK, "name": "me"}, ANSWER]}, {"messages": [ASK, ANSWER]}]
    )
    first, second = DatasetPairs(table).read().documents
    assert (first.prompt, second.prompt) == ([{**ASK, "name": "me"}], [ASK])
    assert first.completion == second.completion == [ANSWER]


def test_bad_datasets_are_refused(rows: datasets.Dataset) -> None:
    with pytest.raises(UserError, match=r"the dataset has no column 'rep' \(did you mean 'repo'"):
        DatasetPairs(rows, key_column="rep").read()
    with pytest.raises(UserError, match="the dataset has no column 'messages'"):
        DatasetPairs(rows, convention=Messages()).read()
    with pytest.raises(UserError, match="the dataset has no column 'completion'"):
        DatasetPairs(rows.remove_columns("completion")).read()
    with pytest.raises(UserError, match="the dataset is a DatasetDict"):
        DatasetPairs(datasets.DatasetDict(train=rows)).read()
    turns = datasets.Dataset.from_list([{"messages": [ASK, ANSWER]}, {"messages": [ASK]}])
    with pytest.raises(UserError, match="the dataset row 1 has no assistant turn"):
        DatasetPairs(turns).read()


def test_saved_dataset_is_read(rows: datasets.Dataset, tmp_path: Path) -> None:
    both = datasets.DatasetDict(train=rows, test=rows.select([2]))
    both.save_to_disk(tmp_path / "saved")
    where = str(tmp_path / "saved")
    assert HuggingFacePairs(where).read() == DatasetPairs(rows).read()
    (pair,) = HuggingFacePairs(where, split="test").read().documents
    assert pair.completion == "z"
    with pytest.raises(UserError, match=r"no split 'tset' \(did you mean 'test'\?\)"):
        HuggingFacePairs(where, split="tset").read()
    with pytest.raises(UserError, match=r"dataset .*saved has no column 'messages'"):
        HuggingFacePairs(where, convention=Messages()).read()
