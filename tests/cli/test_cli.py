"""The command line on a tiny model and small files, good and bad."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from ebmlm.cli.main import main
from tests.models.conftest import model_folder  # noqa: F401

CONFIG = """
model: {model}
data:
  class_path: ebmlm.data.TextData
  init_args:
    source:
      class_path: ebmlm.data.TextFiles
      init_args:
        paths: [{text}]
    length: 32
    split:
      class_path: ebmlm.data.HashSplit
      init_args:
        validation: 0.3
objective:
  class_path: ebmlm.recipes.EBFT
  init_args:
    horizon: 4
    stride: 8
    samples: 2
training:
  steps: 2
  batch_size: 2
  precision: float32
output: {output}
"""


@pytest.fixture
def config(tmp_path: Path, model_folder: Path) -> Path:  # noqa: F811
    text = tmp_path / "text"
    text.mkdir()
    for number in range(12):
        (text / f"{number}.txt").write_text(f"file {number}: " + "some words to learn from. " * 8)
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.format(model=model_folder, text=text, output=tmp_path / "run"))
    return path


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str], status: int = 2) -> str:
    """Run the command, which must end with one message and without a traceback."""
    capsys.readouterr()
    assert main(arguments) == status
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, captured.err
    assert "Traceback" not in captured.err
    return lines[0]


def test_a_configuration_is_trained_and_evaluated(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(config)]) == 0
    run = tmp_path / "run"
    summary = json.loads((run / "summary.json").read_text())
    for part in ("before", "after", "difference", "standard_error"):
        assert set(summary[part]) == {
            "cross_entropy",
            "feature_matching_loss",
            "alignment",
            "diversity",
        }
    assert summary["steps"] == 2
    assert summary["seconds"] > 0
    for name in summary["before"]:
        change = summary["after"][name] - summary["before"][name]
        assert summary["difference"][name] == pytest.approx(change)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2]
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert AutoModelForCausalLM.from_pretrained(run / "checkpoint") is not None
    assert "cross-entropy" in capsys.readouterr().out

    checkpoint = str(run / "checkpoint")
    assert main(["evaluate", str(config), "--checkpoint", checkpoint, "--json"]) == 0
    measured = json.loads(capsys.readouterr().out.splitlines()[-1])
    for part in ("before", "after"):
        for name, value in summary[part].items():
            assert measured[part]["figures"][name]["value"] == pytest.approx(value, abs=1e-5)

    message = refused(["train", str(config)], capsys)
    assert "not empty" in message
    assert "resume" in message


def test_a_stopped_run_goes_on(config: Path, tmp_path: Path) -> None:
    options = ["--training.save_every", "1", "--resume", "true"]
    first = ["train", str(config), "--training.save_every", "1"]
    assert main(first) == 0
    kept = (tmp_path / "run" / "before.json").read_text()
    assert main(["train", str(config), *options, "--training.steps", "3"]) == 0
    assert (tmp_path / "run" / "before.json").read_text() == kept
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["steps"] == 3


def option(*arguments: str) -> list[str]:
    return list(arguments)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (option("--objective.init_args.context", "40"), ["context 40", "32 tokens"]),
        (option("--objective.init_args.stride", "0"), ["stride is 0", "at least 1"]),
        (option("--objective.init_args.horizon", "0"), ["horizon is 0", "at least 1"]),
        (option("--objective.init_args.samples", "1"), ["1 sample per anchor", "at least 2"]),
        (option("--objective.init_args.horizo", "4"), ["horizo", "did you mean 'horizon'"]),
        (option("--training.learning_rat", "1"), ["learning_rat", "did you mean 'learning_rate'"]),
        (option("--training.learning_rate", "fast"), ["learning_rate", "fast"]),
        (option("--training.precision", "float8"), ["precision", "float8"]),
        (option("--model", "./nowhere"), ["nowhere"]),
        (option("--output", "/proc/ebmlm"), ["/proc/ebmlm", "cannot be written"]),
        (option("--data.length", "1"), ["length is 1", "at least 2"]),
        (option("--data.length", "128"), ["128 positions", "this model has 64"]),
        (option("--data.source.init_args.paths", "[/nowhere.txt]"), ["/nowhere.txt"]),
        (option("--training.batch_size", "3"), ["micro_batch_size 2 does not divide"]),
    ],
)
def test_bad_options_end_with_one_message(
    config: Path,
    options: list[str],
    words: list[str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    message = refused(["train", str(config), *options], capsys)
    for word in words:
        assert word in message
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def replaced(config: Path, old: str, new: str) -> Path:
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new))
    return config


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("horizon: 4", "horison: 4", ["horison", "did you mean 'horizon'"]),
        ("steps: 2", "stpes: 2", ["stpes", "did you mean 'steps'"]),
        ("ebmlm.recipes.EBFT", "ebmlm.recipes.EBTF", ["EBTF"]),
        ("output:", "outptu:", ["outptu", "did you mean 'output'"]),
        ("length: 32", "length: [", ["config"]),
    ],
)
def test_bad_configurations_end_with_one_message(
    config: Path, old: str, new: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    message = refused(["train", str(replaced(config, old, new))], capsys)
    for word in words:
        assert word in message


def data_error(
    config: Path, tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> str:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    text = config.read_text()
    start, stop = text.index("      class_path: ebmlm.data.TextFiles"), text.index("    length: 32")
    source = f"      class_path: ebmlm.data.JsonLines\n      init_args:\n        path: {path}\n"
    config.write_text(text[:start] + source + text[stop:])
    return refused(["train", str(config)], capsys)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["rows.jsonl", "empty"]),
        (b'{"text": "fine"}\n{"text": \n', ["line 2"]),
        (b'{"txet": "fine"}\n', ["'text'", "did you mean 'txet'"]),
        (b'{"text": "caf\xe9"}\n', ["rows.jsonl", "utf-8"]),
    ],
)
def test_bad_data_ends_with_one_message(
    config: Path,
    tmp_path: Path,
    content: bytes,
    words: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    message = data_error(config, tmp_path, content, capsys)
    for word in words:
        assert word.lower() in message.lower()


def test_missing_files_and_commands_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "no such configuration" in refused(["train", str(tmp_path / "no.yaml")], capsys)
    assert "did you mean 'train'" in refused(["trian"], capsys)
    assert "--max-steps is 0" in refused(["demo", "--max-steps", "0"], capsys)
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    assert "binary.yaml" in refused(["train", str(binary)], capsys)


@pytest.mark.parametrize("command", ["demo", "train", "evaluate"])
def test_help_explains_every_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert f"ebmlm {command}" in text
    if command != "demo":
        for words in ("--data.help", "--training.learning_rate", "tokens"):
            assert words in text


def test_a_run_that_diverges_exits_with_one(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ebmlm.objectives import policy

    def broken(*arguments: Any, **options: Any) -> Any:
        return float("nan") * _likelihood(*arguments, **options)

    _likelihood = policy.cross_entropy
    monkeypatch.setattr(policy, "cross_entropy", broken)
    message = refused(["train", str(config)], capsys, status=1)
    assert "loss is nan at step 1" in message


def test_a_disk_that_fills_up_keeps_what_was_written(
    config: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ebmlm.training.trainer import EBMTrainer

    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(EBMTrainer, "save_model", full)
    message = refused(["train", str(config)], capsys, status=1)
    assert "No space left" in message
    assert (tmp_path / "run" / "metrics.jsonl").exists()
