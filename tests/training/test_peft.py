"""Runs that train adapters: what is written, resumed and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from transformers import TrainerCallback

from ebmlm.data import JsonLines, TextData
from ebmlm.errors import UserError
from ebmlm.models import load_pretrained
from ebmlm.models.adapters import attach
from ebmlm.objectives import recipes
from ebmlm.training import EvaluationOptions, Pipeline, TrainingOptions
from ebmlm.training.precision import Precision
from ebmlm.transformers_model import TransformersLanguageModel
from tests.models.conftest import tiny_model, tiny_tokeniser
from tests.training.runs import tiny_ebft, tiny_policy, trainer

LORA = {"peft_type": "LORA", "r": 2, "target_modules": "all-linear"}


def _policy() -> TransformersLanguageModel:
    adapted = attach(tiny_policy().model, LORA, name="tiny", seed=1)
    return TransformersLanguageModel(adapted, end_tokens=(2,))


class _StopsAt(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_training_stop = state.global_step == self.step


def _run(folder: Path, *, resumed: bool = False, stop: int = 99) -> dict[str, torch.Tensor]:
    policy = _policy()
    run = trainer(
        folder,
        micro=2,
        policy=policy,
        objective=tiny_ebft(policy),
        callbacks=[_StopsAt(stop)],
        save_every=1,
    )
    run.train(resume_from_checkpoint=str(folder / "checkpoint-2") if resumed else None)
    return {
        name: value.detach().clone()
        for name, value in policy.model.named_parameters()
        if value.requires_grad
    }


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path: Path) -> None:
    whole = _run(tmp_path / "whole")
    _run(tmp_path / "cut", stop=2)
    files = {path.name for path in (tmp_path / "cut" / "checkpoint-2").iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json"} <= files
    assert "model.safetensors" not in files
    resumed = _run(tmp_path / "cut", resumed=True)
    assert whole.keys() == resumed.keys()
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name
        assert "lora" not in name or value.any()


def test_micro_batches_change_nothing(tmp_path: Path) -> None:
    found = []
    for micro in (1, 4):
        policy = _policy()
        run = trainer(
            tmp_path / str(micro), micro=micro, policy=policy, objective=tiny_ebft(policy)
        )
        run.train()
        found.append({n: p for n, p in policy.model.named_parameters() if p.requires_grad})
    for name, value in found[0].items():
        torch.testing.assert_close(value, found[1][name], atol=2e-5, rtol=0)


@pytest.fixture
def pipeline(tmp_path: Path) -> dict[str, Any]:
    """What a run needs, with a tiny model in a folder."""
    tiny_model().save_pretrained(tmp_path / "tiny")
    tiny_tokeniser(bos_token="<start>", eos_token="<end>").save_pretrained(tmp_path / "tiny")
    rows = [json.dumps({"text": f"{n} abab " * 12}) for n in range(40)]
    (tmp_path / "text.jsonl").write_text("\n".join(rows))
    source = JsonLines(str(tmp_path / "text.jsonl"))
    return {
        "data": TextData(source, length=24, train_rows=8, validation_rows=4),
        "objective": lambda policy, texts: recipes.ebft(
            policy, horizon=2, stride=4, context=4, samples=2
        ),
        "model": str(tmp_path / "tiny"),
        "training": TrainingOptions(
            steps=2, batch_size=2, learning_rate=1e-2, precision=Precision.bfloat16
        ),
        "evaluation": EvaluationOptions(horizon=2, stride=4, context=4, samples=2),
        "output": str(tmp_path / "run"),
    }


def test_a_run_with_adapters_writes_adapters_that_load(
    pipeline: dict[str, Any], tmp_path: Path
) -> None:
    console = Console(file=(tmp_path / "said").open("w"), width=200)
    outcome = Pipeline(**pipeline, peft_config=LORA).run(console)
    console.file.close()
    assert "of them trained, in adapters" in (tmp_path / "said").read_text()
    assert outcome.before.means() != outcome.after.means()
    checkpoint = tmp_path / "run" / "checkpoint"
    saved = json.loads((checkpoint / "adapter_config.json").read_text())
    assert saved["base_model_name_or_path"] == pipeline["model"]
    loaded: Any
    loaded, _ = load_pretrained(checkpoint)
    assert any(p.any() for name, p in loaded.named_parameters() if "lora_B" in name)
    # They can be trained further, and are then not put on twice.
    more = {**pipeline, "model": str(checkpoint), "output": str(tmp_path / "more")}
    Pipeline(**more).run(Console(quiet=True))
    assert (tmp_path / "more" / "checkpoint" / "adapter_model.safetensors").is_file()
    again = {**more, "output": str(tmp_path / "again")}
    with pytest.raises(UserError, match="has adapters already and peft_config asks for others"):
        Pipeline(**again, peft_config=LORA).run(Console(quiet=True))


def test_a_frozen_base_is_kept_in_the_runs_precision(pipeline: dict[str, Any]) -> None:
    policy, _ = Pipeline(**pipeline, peft_config=LORA)._load(torch.device("cpu"))
    types = {parameter.requires_grad: parameter.dtype for parameter in policy.model.parameters()}
    assert types == {True: torch.float32, False: torch.bfloat16}


def test_quantised_weights_alone_are_refused(pipeline: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="quantised weights cannot be trained"):
        Pipeline(**pipeline, quantization_config={"load_in_4bit": True}).run(Console(quiet=True))
