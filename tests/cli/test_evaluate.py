"""``ebmlm evaluate`` on a tiny model, prompt-completion pairs and a second model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ebmlm.cli.main import main
from tests.cli.test_cli import refused
from tests.models.conftest import model_folder, tiny_model  # noqa: F401

CONFIG = """
model: {model}
data:
  class_path: ebmlm.data.PairData
  init_args:
    source:
      class_path: ebmlm.data.JsonLinesPairs
      init_args:
        path: {pairs}
    length: 32
    split:
      class_path: ebmlm.data.HashSplit
      init_args:
        validation: 0.5
        test: 0.2
training:
  precision: float32
evaluation:
  horizon: 4
  stride: 4
  context: 0
  samples: 2
  completions:
    verifier:
      class_path: ebmlm.verifiers.ExactMatch
    horizon: 6
    samples: 3
    ks: [1, 3]
    text_metrics:
    - class_path: ebmlm.evaluation.ChrF
    - class_path: ebmlm.evaluation.Bleu
output: {output}
"""

MEANS = {
    "cross_entropy",
    "feature_matching_loss",
    "alignment",
    "diversity",
    "greedy_accuracy",
    "greedy_score",
    "sample_score",
    "pass_at_1",
    "pass_at_3",
    "greedy_length",
    "sample_length",
    "greedy_ended",
    "sample_ended",
    "greedy_repetition",
    "sample_repetition",
    "chrf",
    "bleu",
}
FIGURES = MEANS | {"perplexity", "corpus_chrf", "corpus_bleu"}


@pytest.fixture
def config(tmp_path: Path, model_folder: Path) -> Path:  # noqa: F811
    pairs = tmp_path / "pairs.jsonl"
    lines = [{"prompt": f"{n} and {n} is", "completion": f" {2 * n}"} for n in range(24)]
    pairs.write_text("".join(json.dumps(line) + "\n" for line in lines))
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.format(model=model_folder, pairs=pairs, output=tmp_path / "run"))
    return path


@pytest.fixture
def other(tmp_path: Path, model_folder: Path) -> str:  # noqa: F811
    """A second model: the first with its weights moved a little."""
    from ebmlm.models import load_pretrained

    model: Any
    model, tokeniser = load_pretrained(str(model_folder))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.02 * torch.randn(weight.shape, generator=generator))
    model.save_pretrained(tmp_path / "other")
    tokeniser.save_pretrained(tmp_path / "other")
    return str(tmp_path / "other")


def printed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> Any:
    capsys.readouterr()
    assert main(["evaluate", *arguments]) == 0
    text = capsys.readouterr().out

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_every_figure_has_an_error_an_interval_and_its_items(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without an objective, and whatever run folder the configuration names."""
    found = printed([str(config), "--json", "--output", str(tmp_path / "a.json")], capsys)
    assert set(found["figures"]) == FIGURES
    items = found["items"]
    assert items > 5
    for name, figure in found["figures"].items():
        low, high = figure["interval"]
        assert low <= figure["value"] <= high, name
        assert figure["items"] == items, name
        assert figure["standard_error"] >= 0, name
    assert (found["part"], found["seed"], found["level"]) == ("validation", 0, 0.95)
    assert found["model"] == found["features"]
    assert len(found["report"]["ids"]) == items
    assert json.loads((tmp_path / "a.json").read_text()) == found
    assert not (tmp_path / "run").exists()
    assert [path.name for path in tmp_path.glob("*.partial")] == []
    assert printed([str(config), "--json"], capsys) == found


def test_an_objective_is_read_and_not_used(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = printed([str(config), "--json"], capsys)
    config.write_text(
        config.read_text()
        + "resume: true\nobjective:\n  class_path: my_module.NotInstalled\n"
        + "  init_args: {horizon: 4}\n"
    )
    assert printed([str(config), "--json"], capsys) == plain


def test_two_models_and_two_files_compare_alike(
    config: Path, other: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = printed([str(config), "--checkpoint", other, "--json"], capsys)
    change = both["differences"]
    assert set(change) == (FIGURES - {"perplexity"}) | {"perplexity_ratio"}
    assert both["left_out"] == both["other_options"] == []
    for name in FIGURES - {"perplexity"}:
        values = [both[part]["figures"][name]["value"] for part in ("before", "after")]
        assert change[name]["value"] == pytest.approx(values[1] - values[0])
        assert change[name]["interval"][0] <= change[name]["value"] <= change[name]["interval"][1]
        assert change[name]["items"] == both["items"]
    assert change["cross_entropy"]["value"] != 0
    assert both["after"]["features"] == both["before"]["model"]

    # The same from two files, the second of which is a comparison.
    files = [str(tmp_path / name) for name in ("a.json", "b.json")]
    assert main(["evaluate", str(config), "--output", files[0]]) == 0
    assert main(["evaluate", str(config), "--checkpoint", other, "--output", files[1]]) == 0
    assert printed([*files, "--json"], capsys) == both

    # A model in its own features: what depends on them is left out, and said.
    alone = str(tmp_path / "c.json")
    assert main(["evaluate", str(config), "--model", other, "--output", alone]) == 0
    apart = printed([files[0], alone, "--json"], capsys)
    left_out = ["alignment", "diversity", "feature_matching_loss"]
    assert apart["left_out"] == left_out
    assert apart["differences"] == {
        name: value for name, value in change.items() if name not in left_out
    }
    assert main(["evaluate", files[0], alone]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "not compared" in text
    assert "alignment, diversity" in text


def test_other_options_are_said(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(tmp_path / name) for name in ("a.json", "b.json")]
    assert main(["evaluate", str(config), "--output", files[0]]) == 0
    longer = ["--evaluation.completions.horizon", "9", "--evaluation.batch_size", "2"]
    assert main(["evaluate", str(config), *longer, "--output", files[1]]) == 0
    capsys.readouterr()
    assert main(["evaluate", *files]) == 0
    assert "other options: completions.horizon\n" in capsys.readouterr().out


def test_tables_say_the_figures(
    config: Path, other: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["evaluate", str(config), "--checkpoint", other]) == 0
    text = capsys.readouterr().out
    for words in ("95% interval", "items", "perplexity, after / before", "pass@3", "difference"):
        assert words in text
    assert "most probable completions of" in text


def test_the_test_part_is_other_rows(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    validation = printed([str(config), "--json"], capsys)
    test = printed([str(config), "--json", "--part", "test"], capsys)
    assert test["part"] == "test"
    assert not set(test["report"]["ids"]) & set(validation["report"]["ids"])


def test_other_rows_do_not_compare(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(tmp_path / name) for name in ("a.json", "b.json")]
    assert main(["evaluate", str(config), "--output", files[0]]) == 0
    assert main(["evaluate", str(config), "--part", "test", "--output", files[1]]) == 0
    assert "same rows" in refused(["evaluate", *files], capsys)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--part", "train"], ["part is 'train'", "validation or test"]),
        (["--output"], ["--output needs the name"]),
        (["--output", "/nowhere/a.json"], ["/nowhere/a.json", "no folder /nowhere"]),
        (["--output", "/tmp"], ["/tmp is a folder"]),
        (["--checkpoint", "./nowhere"], ["nowhere"]),
        (["--evaluation.completions.samples", "2"], ["pass@3", "2 samples"]),
        (["--evaluation.completions.sampels", "2"], ["sampels", "did you mean 'samples'"]),
        (["--evaluation.completions.horizon", "60"], ["positions", "this model has 64"]),
        (["--data.init_args.split.init_args.test", "0", "--part", "test"], ["no test rows"]),
        (["--data.init_args.length", "128"], ["128 positions", "this model has 64"]),
    ],
)
def test_bad_options_end_with_one_message(
    config: Path, options: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    message = refused(["evaluate", str(config), *options], capsys)
    for word in words:
        assert word in message


def test_bad_files_end_with_one_message(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    assert main(["evaluate", str(config), "--output", str(good)]) == 0
    bad.write_text("{}")
    assert "bad.json is not an evaluation" in refused(["evaluate", str(good), str(bad)], capsys)
    missing = str(tmp_path / "no.json")
    assert "no.json cannot be read" in refused(["evaluate", str(good), missing], capsys)
    assert "BEFORE.json AFTER.json" in refused(["evaluate", str(good)], capsys)
    assert "BEFORE.json AFTER.json" in refused(
        ["evaluate", str(good), str(good), "--part", "test"], capsys
    )
