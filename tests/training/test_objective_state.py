"""What an objective remembers is in its checkpoints, and a resumed run goes on from it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import TrainerCallback

from ebmlm.errors import UserError
from ebmlm.features import RunningMetricWhitening
from ebmlm.objectives import Objective, recipes
from ebmlm.state import alone, gather_state
from ebmlm.training.objective_state import keep, restore
from ebmlm.transformers_model import TransformersLanguageModel
from tests.training.runs import tiny_ebft, tiny_policy, trainer, weights


def _running(policy: TransformersLanguageModel) -> Objective:
    return recipes.ebft(
        policy,
        horizon=3,
        stride=4,
        context=4,
        samples=3,
        whitening=RunningMetricWhitening(0.5),
        cross_entropy=0.1,
    )


class _StopsAt(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: object, state: object, control: object, **kwargs: object) -> None:
        if state.global_step == self.step:  # type: ignore[attr-defined]
            control.should_training_stop = True  # type: ignore[attr-defined]


def _run(folder: Path, *, resumed: bool = False, stop: int | None = None) -> dict[str, object]:
    policy = tiny_policy()
    objective = _running(policy)
    callbacks = [] if stop is None else [_StopsAt(stop)]
    run = trainer(
        folder, micro=2, objective=objective, policy=policy, callbacks=callbacks, save_every=1
    )
    run.train(resume_from_checkpoint=str(folder / "checkpoint-2") if resumed else None)
    return {**weights(run), **gather_state(objective)}


def test_a_resumed_run_whitens_as_the_uninterrupted_one(tmp_path: Path) -> None:
    whole = _run(tmp_path / "whole")
    _run(tmp_path / "cut", stop=2)
    assert (tmp_path / "cut" / "checkpoint-2" / "objective.safetensors").is_file()
    resumed = _run(tmp_path / "cut", resumed=True)
    assert whole.keys() == resumed.keys()
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name  # type: ignore[arg-type]


def test_how_a_step_is_cut_changes_nothing(tmp_path: Path) -> None:
    found = []
    for micro in (1, 4):
        policy = tiny_policy()
        run = trainer(tmp_path / str(micro), micro=micro, objective=_running(policy), policy=policy)
        run.train()
        found.append(weights(run))
    for name, value in found[0].items():
        torch.testing.assert_close(value, found[1][name], atol=2e-5, rtol=0)


def test_a_checkpoint_of_another_objective_is_refused(tmp_path: Path) -> None:
    plain, running = tiny_ebft(tiny_policy()), _running(tiny_policy())
    keep(plain, tmp_path)
    assert not list(tmp_path.iterdir())
    restore(plain, tmp_path)
    with pytest.raises(UserError, match=r"has no objective\.safetensors.*energy\.whitening"):
        restore(running, tmp_path)
    whitening = running.energy.whitening  # type: ignore[attr-defined]
    whitening.restore(
        {
            "block0.factor": torch.eye(2),
            "block0.remainder": torch.tensor(0.0),
            "block0.count": torch.tensor(2.0),
            "block0.fourth": torch.tensor(1.0),
        }
    )
    whitening.end_step(alone)
    keep(running, tmp_path)
    with pytest.raises(UserError, match=r"state of energy\.whitening and this objective has no"):
        restore(plain, tmp_path)
    (tmp_path / "objective.safetensors").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="the checkpoint is damaged"):
        restore(running, tmp_path)
