"""Runs of adapters from a configuration, from the first evaluation to what loads afterwards."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

import ebmlm.models
import ebmlm.transformers_model
from ebmlm.cli.evaluate import evaluate
from ebmlm.cli.parsing import pipeline_from
from ebmlm.cli.train import pipeline_of, training_parser
from ebmlm.errors import UserError
from ebmlm.models import load_pretrained
from tests.models.conftest import model_folder  # noqa: F401 (a fixture)
from tests.training.test_peft import ADALORA

pytest.importorskip("peft")

CONFIGURATION = """
model: {model}
data:
  class_path: TextData
  init_args:
    source:
      class_path: TextFiles
      init_args:
        paths: [{texts}]
    length: 32
    train_rows: 12
    validation_rows: 4
objective:
  class_path: EBFT
  init_args: {{horizon: 3, stride: 4, context: 4, samples: 3, kl: 0.1}}
training:
  steps: 3
  batch_size: 4
  learning_rate: 1.0e-2
  warmup: 0
  save_every: 1
  precision: float32
evaluation: {{horizon: 3, stride: 4, context: 4}}
peft_config: {{peft_type: LORA, r: 2, target_modules: all-linear}}
output: {output}
"""


@pytest.fixture
def configuration(tmp_path: Path, model_folder: Path) -> Path:  # noqa: F811
    texts = tmp_path / "texts"
    texts.mkdir()
    for number in range(40):
        letters = (chr(97 + (7 * number + place * place) % 26) for place in range(60))
        (texts / f"{number}.txt").write_text("".join(letters))
    path = tmp_path / "run.yaml"
    path.write_text(
        CONFIGURATION.format(model=model_folder, texts=texts, output=tmp_path / "run"),
        encoding="utf-8",
    )
    return path


def run(configuration: Path, *options: str) -> Any:
    parser = training_parser("ebmlm train", "a test")
    pipeline = pipeline_of(pipeline_from(parser, [str(configuration), *options]))
    return pipeline.run(Console(quiet=True))


def curve(folder: Path) -> list[float]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def test_a_run_from_a_configuration(
    configuration: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Trained without a second copy of the base, measured, resumed, and gone on from."""
    with monkeypatch.context() as patch:
        patch.setattr(ebmlm.transformers_model, "copy", SimpleNamespace(copy=copy.copy))
        whole = run(configuration)
    assert whole.summary["trainable_parameters"] == 2 * 2 * (
        2 * (32 + 32) + 2 * (32 + 16) + 3 * (32 + 64)
    )
    checkpoint = tmp_path / "run" / "checkpoint"

    # Measured as at the run's end, with one set of weights.
    loads = []

    def counted(name: str, *arguments: Any, **options: Any) -> Any:
        loads.append(name)
        return load_pretrained(name, *arguments, **options)

    monkeypatch.setattr(ebmlm.models, "load_pretrained", counted)
    assert evaluate([str(configuration), "--checkpoint", str(checkpoint), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert loads == [str(checkpoint)]
    assert _means(found["before"]) == pytest.approx(whole.before.means(), abs=1e-5)
    assert _means(found["after"]) == pytest.approx(whole.after.means(), abs=1e-5)

    # Interrupted after the first step: the curve is the same to the last bit.
    cut = ["--output", str(tmp_path / "cut")]
    run(configuration, *cut, "--training.steps", "1")
    run(configuration, *cut, "--resume", "true")
    assert curve(tmp_path / "cut") == curve(tmp_path / "run")

    # The adapter as the start of another run, in which its base is the reference.
    more = ["--model", str(checkpoint), "--peft_config", "null", "--output", str(tmp_path / "more")]
    further = run(configuration, *more, "--training.steps", "1")
    assert further.before.means() == pytest.approx(whole.after.means(), abs=1e-5)
    recorded = json.loads((tmp_path / "more/checkpoint/adapter_config.json").read_text())
    assert recorded["base_model_name_or_path"] == str(tmp_path / "tiny")
    more[3] = '{"peft_type": "IA3"}'
    with pytest.raises(UserError, match="has an adapter already"):
        run(configuration, *more[:-1], str(tmp_path / "no"))


def _means(record: Any) -> Any:
    from ebmlm.evaluation.report import EvaluationReport

    return EvaluationReport.from_json(record["report"]).means()


def test_adalora_loads_and_cannot_go_on(configuration: Path, tmp_path: Path) -> None:
    options = ["--training.steps", "6", "--training.batch_size", "2"]
    run(configuration, *options, "--peft_config", json.dumps(ADALORA))
    checkpoint = tmp_path / "run" / "checkpoint"
    model: Any = load_pretrained(checkpoint)[0]
    assert sum(sum(kept) for kept in model.peft_config["default"].rank_pattern.values()) == 4
    with pytest.raises(UserError, match=r"ADALORA adapter cannot go on training.*ranks"):
        run(configuration, *options, "--peft_config", json.dumps(ADALORA), "--resume", "true")
    more = ["--model", str(checkpoint), "--peft_config", "null", "--output", str(tmp_path / "more")]
    with pytest.raises(UserError, match="ADALORA adapter cannot go on training"):
        run(configuration, *options, *more)


def test_what_cannot_be_is_refused_before_anything_is_loaded(configuration: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'lora_alpha'"):
        run(configuration, "--peft_config.lora_alfa", "2")
    with pytest.raises(UserError, match="quantization_config without peft_config"):
        run(
            configuration,
            *("--peft_config", "null"),
            *("--quantization_config", '{"load_in_4bit": true}'),
        )
    assert not (configuration.parent / "run").exists()
