"""Training adapters: only they move, only they are saved, and a resumed run is the same run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback

from ebmlm.models import adapter_config, attach
from ebmlm.training import Precision
from ebmlm.transformers_model import TransformersLanguageModel
from tests.training.runs import tiny_policy, trainer

pytest.importorskip("peft")

LORA = {"peft_type": "LORA", "r": 4, "target_modules": "all-linear"}
ADALORA = {
    "peft_type": "ADALORA",
    "init_r": 4,
    "target_r": 1,
    "tinit": 1,
    "tfinal": 1,
    "total_step": 6,
    "target_modules": ["q_proj", "v_proj"],
}


def adapted(options: dict[str, Any], held: torch.dtype = torch.float32) -> Any:
    """A tiny policy with adapters, the same each time, its base in bfloat16's numbers."""
    base = tiny_policy().model
    with torch.no_grad():
        for parameter in base.parameters():
            parameter.data = parameter.bfloat16().to(held)
    return TransformersLanguageModel(attach(base, adapter_config(options)), end_tokens=(2,))


def losses(run: Any, name: str = "loss") -> list[float]:
    return [line[name] for line in run.state.log_history if "loss" in line]


def state(run: Any) -> dict[str, torch.Tensor]:
    return {
        name: value.detach().clone() for name, value in run.language_model.model.named_parameters()
    }


def trains(policy: Any) -> dict[str, torch.Tensor]:
    return {name: value for name, value in policy.model.named_parameters() if value.requires_grad}


@pytest.mark.parametrize("checkpointed", [False, True])
def test_only_adapters_move_and_only_they_have_moments(tmp_path: Path, checkpointed: bool) -> None:
    policy = adapted(LORA)
    names = set(trains(policy))
    run = trainer(tmp_path, micro=2, policy=policy, gradient_checkpointing=checkpointed)
    before = state(run)
    run.train()
    assert {name for name, value in state(run).items() if not torch.equal(value, before[name])} == (
        names
    )
    assert set(trains(policy)) == names
    assert run.optimizer is not None
    held = [value for group in run.optimizer.param_groups for value in group["params"]]
    assert {id(value) for value in held} == {id(value) for value in trains(policy).values()}
    assert all(value.grad is None for name, value in before.items() if name not in names)
    if checkpointed:
        plain = trainer(tmp_path / "plain", micro=2, policy=adapted(LORA))
        plain.train()
        assert losses(run) == pytest.approx(losses(plain), abs=1e-6)


def test_a_step_cut_into_micro_batches_is_the_same_step(tmp_path: Path) -> None:
    whole, cut = (
        trainer(tmp_path / str(micro), micro=micro, policy=adapted(LORA)) for micro in (4, 1)
    )
    whole.train()
    cut.train()
    for name, value in state(whole).items():
        torch.testing.assert_close(state(cut)[name], value, atol=2e-5, rtol=0)


def test_a_base_held_in_bfloat16_is_one_that_each_pass_rounds(tmp_path: Path) -> None:
    """And with layers that are computed again in the backward pass, which autocast rounds."""
    held, rounded, again = (
        trainer(
            tmp_path / f"{dtype}{checkpointed}",
            micro=2,
            policy=adapted(LORA, dtype),
            precision=Precision.bfloat16,
            gradient_checkpointing=checkpointed,
        )
        for dtype, checkpointed in (
            (torch.bfloat16, False),
            (torch.float32, False),
            (torch.bfloat16, True),
        )
    )
    # The first weights of adapters are made in the base's type.
    for name, value in trains(rounded.language_model).items():
        value.data.copy_(trains(held.language_model)[name].data)
    held.train()
    rounded.train()
    again.train()
    assert losses(held) == losses(rounded) == losses(again)
    for name, value in trains(held.language_model).items():
        assert value.dtype == torch.float32
        assert torch.equal(value, trains(rounded.language_model)[name])
    kept = {value.dtype for value in held.language_model.model.parameters()}
    assert kept == {torch.bfloat16, torch.float32}


@pytest.mark.parametrize("precision", [Precision.float32, Precision.bfloat16])
def test_a_resumed_run_is_the_uninterrupted_one(tmp_path: Path, precision: Precision) -> None:
    class StopAfterTwo(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            control.should_training_stop = state.global_step == 2

    held = torch.bfloat16 if precision is Precision.bfloat16 else torch.float32
    options: dict[str, Any] = {"micro": 2, "save_every": 1, "steps": 4, "precision": precision}
    whole = trainer(tmp_path / "whole", policy=adapted(LORA, held), **options)
    whole.train()
    stopped = trainer(
        tmp_path / "cut", policy=adapted(LORA, held), callbacks=[StopAfterTwo()], **options
    )
    stopped.train()
    resumed = trainer(tmp_path / "cut", policy=adapted(LORA, held), **options)
    resumed.train(resume_from_checkpoint=True)
    assert resumed.state.global_step == 4
    for name in ("loss", "reward", "cross_entropy", "grad_norm"):
        assert losses(resumed, name) == losses(whole, name), name
    for name, value in state(whole).items():
        assert torch.equal(value, state(resumed)[name]), name


def test_checkpoints_hold_the_adapter_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import peft.utils.save_and_load as saving

    def asked(*arguments: object, **options: object) -> None:
        raise AssertionError("PEFT asked the hub for the base")

    monkeypatch.setattr(saving, "check_file_exists_on_hf_hub", asked)
    policy = adapted(LORA)
    policy.model.peft_config["default"].base_model_name_or_path = "smollm2-135m"
    run = trainer(tmp_path, micro=4, policy=policy, save_every=3)
    run.train()
    files = {path.name for path in (tmp_path / "checkpoint-3").iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "optimizer.pt"} <= files
    assert not {"model.safetensors", "config.json"} & files


def test_ranks_are_shared_out_while_adalora_trains(tmp_path: Path) -> None:
    def ranks(policy: Any) -> int:
        values = [value for name, value in trains(policy).items() if "lora_E" in name]
        return sum(int((value != 0).sum()) for value in values)

    policy = adapted(ADALORA)
    trainer(tmp_path, micro=4, policy=policy, steps=6).train()
    assert ranks(policy) == 4  # target_r for each of four modules, of four times that
