"""``ebmlm bench`` on a model small enough."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import ebmlm
from ebmlm.cli.bench import bench
from ebmlm.cli.main import main
from ebmlm.errors import UserError
from ebmlm.testing import tiny_transformer

SMALL = "--length 24 --samples 2 --horizon 2 --stride 8 --repetitions 1".split()  # noqa: SIM905


@pytest.fixture(autouse=True)
def small_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> tuple[ebmlm.TransformersLanguageModel, None]:
        return tiny_transformer(vocabulary=300, max_position_embeddings=150), None

    monkeypatch.setattr(ebmlm, "load", load)
    monkeypatch.setenv("COLUMNS", "180")


def test_json_has_an_object_per_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(["rollout", "score", *SMALL, "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["case"] for line in lines] == ["rollout", "score"]
    for line in lines:
        assert line["seconds"] > 0
        assert line["twin_ratio"] > 0
        assert line["floor_ratio"] > 0
        assert 0 < line["flops_fraction"] < 1


def test_all_cases_make_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench([*SMALL, "--no-twin", "--mixed"]) == 0
    shown = capsys.readouterr().out
    for words in (
        "rollout",
        "features",
        "score",
        "step",
        "K = 2",
        "ours / floor",
        "float32 weights",
    ):
        assert words in shown


def test_curves_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "curves"
    words = ["rollout", *SMALL, "--context", "2", "--curves", str(folder), "--json"]
    assert bench(words) == 0
    points = [json.loads(line) for line in (folder / "curves.jsonl").read_text().splitlines()]
    values: dict[str, list[int]] = {}
    for point in points:
        values.setdefault(point["axis"][0], []).append(point["value"])
    assert values == {
        "T": [12, 24, 48, 96],
        "N": [1, 2, 4, 8],
        "K": [1, 2, 3, 6],
        "G": [2, 4, 8, 16],
    }
    assert all(point["seconds"] > 0 and point["twin_seconds"] > 0 for point in points)
    assert (folder / "curves.png").stat().st_size > 10_000
    assert len(capsys.readouterr().out.splitlines()) == len(points)
    assert sorted(path.name for path in folder.iterdir()) == ["curves.jsonl", "curves.png"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["guess"], "no case 'guess': there are rollout, features, score, step"),
        (["--length", "0"], "--length is 0"),
        (["--repetitions", "-1"], "--repetitions is -1"),
        (["--device", "gpu"], "--device is 'gpu'"),
        (["--flex"], "--flex has no backward pass on a CPU"),
        ([*SMALL, "--length", "5"], "do not fit a sequence of 5"),
        ([*SMALL, "--length", "120"], "positions asked for: this model has 150"),
        (["--lenght", "9"], "no option 'lenght' (did you mean 'length'?)"),
    ],
)
def test_wrong_input_is_told_before_anything_is_timed(words: list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        bench(words)
    assert message in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks what is said where there is no GPU")
def test_a_missing_gpu_is_told() -> None:
    with pytest.raises(UserError, match="finds no GPU"):
        bench(["--device", "cuda"])


def test_it_is_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "bench " in capsys.readouterr().out
