"""Training an energy with the trainer there is: nothing else moves, and it resumes exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import TrainerCallback

from ebmlm.energies import ResidualEnergy
from ebmlm.errors import UserError
from ebmlm.evaluation import EnergyOptions
from ebmlm.objectives import EnergyObjective
from ebmlm.objectives.contrastive_recipes import contrastive_divergence, nce
from ebmlm.objectives.energy_recipes import residual
from ebmlm.objectives.recipes import sft
from ebmlm.objectives.representation_recipes import fixed, trained_states
from ebmlm.texts import Texts
from ebmlm.training import EvaluationOptions
from ebmlm.transformers_model import TransformersLanguageModel
from tests.training.runs import STEPS, tiny_policy, trainer

SHAPE: dict[str, Any] = {"horizon": 3, "stride": 4, "context": 4, "samples": 2, "hidden": (8,)}
TEXTS = Texts(None, {})  # type: ignore[arg-type]

RECIPES: dict[str, Any] = {
    "nce": lambda policy: nce(policy, **SHAPE),
    "trained network": lambda policy: nce(policy, TEXTS, **SHAPE, representation=trained_states),
    "chains": lambda policy: contrastive_divergence(policy, **SHAPE),
    "persistent chains": lambda policy: contrastive_divergence(policy, **SHAPE, persistent=True),
}


def run(
    folder: Path, name: str, micro: int | None = None, **options: Any
) -> tuple[Any, EnergyObjective, TransformersLanguageModel]:
    policy = tiny_policy()
    objective: EnergyObjective = RECIPES[name](policy)
    made = trainer(folder, micro=micro, objective=objective, policy=policy, **options)
    return made, objective, policy


def learned(objective: EnergyObjective) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in objective.energy.module.state_dict().items()}


@pytest.mark.parametrize("name", RECIPES)
def test_the_energy_moves_and_the_language_model_does_not(name: str, tmp_path: Path) -> None:
    made, objective, policy = run(tmp_path, name)
    before, start = learned(objective), tiny_policy().model.state_dict()
    made.train()
    assert all(torch.equal(value, start[key]) for key, value in policy.model.state_dict().items())
    after = learned(objective)
    moved = {key for key, value in after.items() if not torch.equal(value, before[key])}
    assert {"head.output.weight"} <= moved
    assert ("network.layers.0.mlp.up_proj.weight" in moved) == (name == "trained network")
    logged = [line for line in made.state.log_history if "loss" in line]
    assert {"real_energy", "negative_energy"} <= logged[-1].keys()


@pytest.mark.parametrize("name", ["nce", "persistent chains"])
def test_a_step_cut_into_micro_batches_is_the_same_step(name: str, tmp_path: Path) -> None:
    whole, one, _ = run(tmp_path / "whole", name)
    cut, other, _ = run(tmp_path / "cut", name, micro=1)
    whole.train()
    cut.train()
    for key, value in learned(one).items():
        if key == "head.output.bias" and name != "nce":
            # Its gradient is zero but for rounding, of which Adam makes whole steps.
            continue
        torch.testing.assert_close(value, learned(other)[key], atol=1e-4, rtol=0, msg=key)


class StopAfterTwo(TrainerCallback):
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_training_stop = state.global_step == 2


@pytest.mark.parametrize("name", RECIPES)
def test_a_resumed_run_is_the_uninterrupted_one(name: str, tmp_path: Path) -> None:
    whole, uninterrupted, _ = run(tmp_path / "whole", name)
    whole.train()
    stopped, _, _ = run(tmp_path / "cut", name, save_every=1, callbacks=[StopAfterTwo()])
    stopped.train()
    resumed, objective, _ = run(tmp_path / "cut", name, save_every=1)
    resumed.train(resume_from_checkpoint=str(tmp_path / "cut" / "checkpoint-2"))
    assert resumed.state.global_step == STEPS
    for key, value in learned(uninterrupted).items():
        assert torch.equal(value, learned(objective)[key]), key


def test_the_checkpoint_is_the_energys_folder(tmp_path: Path) -> None:
    made, objective, policy = run(tmp_path / "run", "nce")
    made.train()
    made.save_model(str(tmp_path / "checkpoint"))
    files = {path.name for path in (tmp_path / "checkpoint").iterdir()}
    assert files == {"energy.json", "energy.safetensors"}
    again = ResidualEnergy.load(tmp_path / "checkpoint", fixed(policy))
    for key, value in again.module.state_dict().items():
        assert torch.equal(value, learned(objective)[key])
    named = residual(policy, folder=str(tmp_path / "checkpoint"))
    assert named.module.head.hidden == (8,)


def test_an_evaluation_measures_what_is_trained() -> None:
    policy = tiny_policy()
    energy = EvaluationOptions(energy=EnergyOptions(horizon=3, stride=4, context=4, samples=3))
    objective = nce(policy, **SHAPE)
    assert energy.build(policy, TEXTS, objective).energy is objective.energy  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="measures an energy that a run trains"):
        energy.build(policy, TEXTS, sft(policy))
    with pytest.raises(UserError, match=r"give evaluation\.energy"):
        EvaluationOptions().build(policy, TEXTS, objective)


def test_a_held_out_evaluation_improves_on_text_that_is_not_the_models(tmp_path: Path) -> None:
    made, objective, policy = run(tmp_path, "nce", steps=30)
    evaluation = EnergyOptions(horizon=3, stride=4, context=4, samples=16).build(objective.energy)
    rows = made.eval_dataset
    before = evaluation(policy, rows).means()
    made.train()
    after = evaluation(policy, rows).means()
    assert after["gain_lower"] > before["gain_lower"] == pytest.approx(0, abs=1e-5)
    assert after["nce_loss"] < before["nce_loss"]
