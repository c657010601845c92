"""``ebmlm features`` on a tiny model: a page, twice the same, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from ebmlm.cli.main import main
from tests.cli.test_cli import config, option, refused  # noqa: F401
from tests.models.conftest import model_folder  # noqa: F401


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return tmp_path / "page.html"


def drawn(page: Path) -> Any:
    found = re.search(r'id="data">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return json.loads(found.group(1))


def test_a_page_is_drawn_and_the_same_each_time(
    config: Path,  # noqa: F811
    page: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = ["features", str(config), "--anchors", "5", "--rows", "3"]
    assert main([*given, "--output", str(page)]) == 0
    assert "5 anchors with 2 rollouts each" in capsys.readouterr().out
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert text.count("<article") == 5
    assert "HiddenStateFeatures" in text
    anchors = drawn(page)["anchors"]
    assert [len(anchor["shared"]) for anchor in anchors] == [2] * 5
    for anchor in anchors:
        for place in range(2):
            parts = anchor["alignment"][place] - anchor["diversity"][place]
            assert anchor["reward"][place] == pytest.approx(parts, abs=1e-3)
        # RLOO with two samples: the baseline is the other's unary energy.
        ours, other = anchor["reward"][0], anchor["alignment"][1]
        assert anchor["advantage"][0] == pytest.approx(ours - other, abs=1e-3)
    assert not (tmp_path / "run").exists()
    assert list(tmp_path.glob("*.partial")) == []

    again = tmp_path / "again.html"
    assert main([*given, "--output", str(again)]) == 0
    assert again.read_bytes() == page.read_bytes()
    assert main([*given, "--output", str(again), "--seed", "1", "--overwrite"]) == 0
    assert drawn(again)["anchors"][0]["shared"] != anchors[0]["shared"]
    message = refused([*given, "--output", str(again)], capsys)
    assert "exists" in message and "--overwrite" in message


def test_training_text_and_other_maps(
    config: Path,  # noqa: F811
    page: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = ["features", str(config), "--output", str(page), "--anchors", "2"]
    assert main([*given, "--part", "train"]) == 0
    assert "train rows" in page.read_text(encoding="utf-8")
    message = refused([*given, "--overwrite", "--map", "2"], capsys)
    assert "feature map 2 is asked for" in message and "1 HiddenStateFeatures" in message
    assert "no test rows" in refused([*given, "--overwrite", "--part", "test"], capsys)


def test_a_checkpoint_draws_and_the_start_looks(
    config: Path,  # noqa: F811
    page: Path,
    tmp_path: Path,
    model_folder: Path,  # noqa: F811
) -> None:
    from ebmlm.models import load_pretrained

    model: Any
    model, tokeniser = load_pretrained(str(model_folder))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=generator))
    trained = tmp_path / "trained"
    model.save_pretrained(trained)
    tokeniser.save_pretrained(trained)

    given = ["features", str(config), "--anchors", "3", "--overwrite", "--output", str(page)]
    assert main(given) == 0
    before = drawn(page)
    assert main([*given, "--checkpoint", str(model_folder)]) == 0
    assert drawn(page) == before
    assert main([*given, "--checkpoint", str(trained)]) == 0
    after = drawn(page)
    assert after["anchors"][0]["shared"] != before["anchors"][0]["shared"]
    told = page.read_text(encoding="utf-8")
    assert ">other</th>" not in told
    assert main([*given, "--checkpoint", str(trained), "--objective.kl", "0.1"]) == 0
    assert ">other</th>" in page.read_text(encoding="utf-8")
    assert f"<dd>{trained}</dd>" in told and f"<dd>{model_folder}</dd>" in told


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (option("--anchors", "0"), ["--anchors is 0", "at least 1"]),
        (option("--rows", "-1"), ["--rows is -1", "at least 1"]),
        (option("--map", "0"), ["--map is 0", "at least 1"]),
        (option("--part", "heldout"), ["heldout", "validation, test or train"]),
        (option("--anchor", "3"), ["anchor", "did you mean 'anchors'"]),
        (option("--output", "/nowhere/page.html"), ["/nowhere", "no folder"]),
        (option("--output", "/proc"), ["/proc", "folder"]),
        (option("--output"), ["--output needs the name"]),
        (option("--checkpoint", "./nowhere"), ["nowhere"]),
        (option("--objective", "ebmlm.recipes.SFT"), ["CrossEntropy", "draws no rollouts"]),
    ],
)
def test_bad_options_end_with_one_message(
    config: Path,  # noqa: F811
    options: list[str],
    words: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    message = refused(["features", str(config), *options], capsys)
    for word in words:
        assert word in message
    assert not (tmp_path / "features.html").exists()
