"""``ebmlm compare`` on a tiny model: arms, budgets, going on, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ebmlm.cli.main import main
from ebmlm.training import Pipeline
from tests.cli.test_cli import CONFIG, refused
from tests.models.conftest import model_folder  # noqa: F401

TOKENS = ["--tokens", "250", "--evaluations", "1"]


@pytest.fixture
def configs(tmp_path: Path, model_folder: Path) -> list[str]:  # noqa: F811
    text = tmp_path / "text"
    text.mkdir()
    for number in range(12):
        (text / f"{number}.txt").write_text(f"file {number}: " + "some words to learn from. " * 8)
    ebft = CONFIG.format(model=model_folder, text=text, output=tmp_path / "unused")
    start = ebft.index("objective:")
    sft = ebft[:start] + "objective: SFT\n" + ebft[ebft.index("training:") :]
    paths = [tmp_path / "sft.yaml", tmp_path / "ebft.yaml"]
    for path, content in zip(paths, (sft, ebft), strict=True):
        path.write_text(content)
    return [str(path) for path in paths]


def compared(configs: list[str], output: Path, *options: str) -> int:
    return main(["compare", *configs, "--output", str(output), *(options or TOKENS)])


def test_arms_have_the_same_budget_and_start(
    configs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "compare"
    assert compared(configs, output) == 0
    results = json.loads((output / "results.json").read_text())
    assert list(results["arms"]) == ["sft", "ebft"]
    assert results["failed"] == {}
    sft, ebft = results["arms"].values()
    for arm in (sft, ebft):
        assert 250 <= arm["tokens"] <= 250 + 2 * 32
        assert arm["steps"] == 4
        assert [point["step"] for point in arm["curve"]] == [0, 2, 4]
        assert arm["curve"][0]["cross_entropy"] == results["start"]["cross_entropy"]["value"]
        change = arm["difference"]["cross_entropy"]
        end, start = arm["after"]["cross_entropy"], results["start"]["cross_entropy"]
        assert change["value"] == pytest.approx(end["value"] - start["value"])
        assert change["interval"][0] <= change["value"] <= change["interval"][1]
        assert change["items"] == start["items"] > 1
    against = sft["against"]["ebft"]["cross_entropy"]["value"]
    assert against == pytest.approx(-ebft["against"]["sft"]["cross_entropy"]["value"])
    assert sft["curve"][0] == ebft["curve"][0]
    assert (output / "results.png").stat().st_size > 10_000
    table = (output / "results.md").read_text()
    assert "| sft | ebft |" in table
    assert "cross_entropy" in table
    assert "results.json" in capsys.readouterr().out


def test_an_interrupted_comparison_goes_on(
    configs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, run = tmp_path / "compare", Pipeline.run
    ran: list[str] = []

    def interrupted(self: Pipeline, console: Any, limit: Any = None) -> Any:
        ran.append(Path(self.output).name)
        if ran == ["sft", "ebft"]:
            raise KeyboardInterrupt
        return run(self, console, limit)

    monkeypatch.setattr(Pipeline, "run", interrupted)
    assert compared(configs, output) == 130
    assert compared(configs, output) == 0
    assert ran == ["sft", "ebft", "ebft"]
    results = json.loads((output / "results.json").read_text())
    assert list(results["arms"]) == ["sft", "ebft"]


def test_seconds_are_a_budget_too(configs: list[str], tmp_path: Path) -> None:
    output = tmp_path / "compare"
    assert compared(configs, output, "--seconds", "0.001", "--evaluations", "0") == 0
    arms = json.loads((output / "results.json").read_text())["arms"]
    assert [arm["steps"] for arm in arms.values()] == [1, 1]


def test_what_does_not_compare(
    configs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = str(tmp_path / "compare")
    wanted = ["compare", *configs, "--output", output]
    assert "either --seconds N or --tokens N" in refused(wanted, capsys)
    assert "either" in refused([*wanted, "--seconds", "1", "--tokens", "1"], capsys)
    assert "seconds is -1" in refused([*wanted, "--seconds", "-1"], capsys)
    assert "1 configuration" in refused(
        ["compare", configs[0], "--output", output, *TOKENS], capsys
    )
    other = tmp_path / "other.yaml"
    other.write_text(Path(configs[0]).read_text().replace("length: 32", "length: 30"))
    message = refused(["compare", configs[0], str(other), "--output", output, *TOKENS], capsys)
    assert "data.length: 32 and 30" in message
    assert not Path(output).exists()


def test_changes_hold_for_every_arm(
    configs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "compare"
    options = [*TOKENS, "--training.batch_size", "4", "--data.validation_rows", "2"]
    assert compared(configs, output, *options) == 0
    results = json.loads((output / "results.json").read_text())
    assert [arm["steps"] for arm in results["arms"].values()] == [2, 2]
    assert results["start"]["cross_entropy"]["items"] == 2
    wanted = ["compare", *configs, "--output", str(tmp_path / "other"), *TOKENS]
    assert "did you mean 'batch_size'" in refused([*wanted, "--training.batch_siz", "4"], capsys)
    assert "--seconds" in refused([*wanted, "--seconds", "soon"], capsys)


def test_a_folder_belongs_to_one_comparison(
    configs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "compare"
    output.mkdir()
    (output / "notes.txt").write_text("mine")
    wanted = ["compare", *configs, "--output", str(output)]
    assert "holds no comparison" in refused([*wanted, *TOKENS], capsys)
    (output / "notes.txt").unlink()
    assert compared(configs, output) == 0
    assert "tokens differs" in refused([*wanted, "--tokens", "99", "--evaluations", "1"], capsys)
