from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
import torch
from jsonargparse import ArgumentParser
from transformers import PreTrainedTokenizerFast

from ebmlm.data import (
    Corpus,
    Document,
    HashSplit,
    HeldOutSource,
    JsonLines,
    PackedText,
    StandardLibrary,
    TextData,
    TextFiles,
    TextSource,
)
from ebmlm.data.row import TextRows
from ebmlm.errors import UserError


@dataclass(frozen=True)
class Numbered(TextSource):
    """Documents of lines that tell which document they are from."""

    documents: int = 40
    lines: int = 30

    def read(self) -> Corpus:
        texts = [f"d{number:03}\n" * self.lines for number in range(self.documents)]
        documents = [Document(str(number), text) for number, text in enumerate(texts)]
        return Corpus(documents, {"blank": 2})


def stream(rows: TextRows) -> torch.Tensor:
    return cast(PackedText, rows).stream


def origins(packed: TextRows, tokenizer: PreTrainedTokenizerFast) -> set[str]:
    """Return which documents of ``Numbered`` the rows hold whole lines of."""
    text = str(tokenizer.decode(stream(packed).tolist())).replace("</s>", "")
    return {line for line in text.split("\n") if len(line) == 4 and line[0] == "d"}


def test_parts_are_disjoint_and_counted(tokenizer: PreTrainedTokenizerFast) -> None:
    data = TextData(Numbered(), length=20, split=HashSplit(0.3), validation_rows=None)
    prepared = data.prepare(tokenizer)
    train, validation = (origins(part, tokenizer) for part in (prepared.train, prepared.validation))
    assert not train & validation
    assert len(train | validation) == 40
    summary = json.loads(json.dumps(prepared.summary))
    assert summary["documents"] == {"train": len(train), "validation": len(validation)}
    assert summary["skipped"] == {"blank": 2}
    assert summary["duplicates"] == 0
    assert summary["train"]["tokens"] + summary["train"]["dropped"] == len(train) * (30 * 5 + 1)
    assert summary["validation"]["rows"] == len(prepared.validation)


def test_few_rows_speak_for_many_documents(tokenizer: PreTrainedTokenizerFast) -> None:
    split = HashSplit(0.2, test=0.3)
    data = TextData(Numbered(lines=300), 20, split, train_rows=40, validation_rows=10, test_rows=7)
    prepared = data.prepare(tokenizer)
    parts = prepared.train, prepared.validation, prepared.test
    assert [len(part) for part in parts] == [40, 10, 7]
    # Whole documents would fill 40 rows of 20 tokens with a single one.
    assert len(origins(prepared.train, tokenizer)) >= 5
    assert len(origins(prepared.validation, tokenizer)) >= 2
    assert len(origins(prepared.test, tokenizer)) >= 2


def test_unbounded_rows_keep_documents_whole(tokenizer: PreTrainedTokenizerFast) -> None:
    prepared = TextData(Numbered(), length=20, split=HashSplit(0.3)).prepare(tokenizer)
    text = str(tokenizer.decode(stream(prepared.train).tolist()))
    for document in text.split("</s>")[:-1]:
        assert len(set(document.split())) == 1


def test_seed_moves_training_text_and_not_validation(tokenizer: PreTrainedTokenizerFast) -> None:
    first, again, other = (
        TextData(Numbered(), length=20, train_rows=9, seed=seed).prepare(tokenizer)
        for seed in (0, 0, 1)
    )
    assert torch.equal(stream(first.train), stream(again.train))
    assert not torch.equal(stream(first.train), stream(other.train))
    assert torch.equal(stream(first.validation), stream(other.validation))


def test_held_out_source_is_the_validation_text(tokenizer: PreTrainedTokenizerFast) -> None:
    data = TextData(Numbered(5), length=20, split=HeldOutSource(Numbered(3)))
    prepared = data.prepare(tokenizer)
    assert origins(prepared.validation, tokenizer) == {"d000", "d001", "d002"}
    assert origins(prepared.train, tokenizer) == {"d003", "d004"}
    assert prepared.summary["duplicates"] == 3


def test_standard_library_is_prepared(tokenizer: PreTrainedTokenizerFast) -> None:
    prepared = TextData(StandardLibrary(), train_rows=8, validation_rows=8).prepare(tokenizer)
    assert len(prepared.train) == len(prepared.validation) == 8
    assert prepared.summary["documents"]["train"] > 5 * prepared.summary["documents"]["validation"]


def test_too_little_text_names_the_part(tokenizer: PreTrainedTokenizerFast) -> None:
    data = TextData(Numbered(5), length=2000, split=HeldOutSource(Numbered(1, lines=9)))
    with pytest.raises(UserError, match=r"validation text: the text has 46 tokens, .* 2000"):
        data.prepare(tokenizer)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"length": 1}, "length is 1"),
        ({"train_rows": 0}, "train_rows is 0"),
        ({"validation_rows": -1}, "validation_rows is -1"),
    ],
)
def test_settings_are_checked_when_built(setting: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TextData(Numbered(), **setting)  # type: ignore[arg-type]


def parsed(arguments: list[str]) -> TextData:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_class_arguments(TextData, "data")
    values = parser.parse_args(arguments)
    data = parser.instantiate(values).data
    assert isinstance(data, TextData)
    return data


def test_configuration_file_builds_it(tmp_path: Path) -> None:
    path = tmp_path / "data.yaml"
    path.write_text(
        """
data:
  source:
    class_path: ebmlm.data.TextFiles
    init_args: {paths: [texts], suffixes: [.md]}
  split:
    class_path: ebmlm.data.HeldOutSource
    init_args:
      source: {class_path: ebmlm.data.JsonLines, init_args: {path: rows.jsonl}}
  length: 128
  validation_rows: null
"""
    )
    assert parsed(["--config", str(path)]) == TextData(
        TextFiles(["texts"], suffixes=(".md",)),
        length=128,
        split=HeldOutSource(JsonLines("rows.jsonl")),
        validation_rows=None,
    )


def test_command_line_builds_it() -> None:
    data = parsed(["--data.source", "StandardLibrary", "--data.split.validation", "0.2"])
    assert data == TextData(StandardLibrary(), split=HashSplit(0.2))
