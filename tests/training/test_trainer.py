from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, TrainerCallback

from ebmlm.errors import UserError
from ebmlm.estimators import Estimate
from ebmlm.objectives import CrossEntropy, ItemCounts
from ebmlm.training import FiniteGradients, MetricsFile, Precision, TrainingDiverged
from ebmlm.training.clock import TrainingClock
from ebmlm.training.trainer import step_generator
from tests.training.runs import STEPS, tiny_ebft, tiny_policy, trainer, weights

ROOT = Path(__file__).resolve().parents[2]


def assert_same(left: dict[str, Tensor], right: dict[str, Tensor], tolerance: float) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        torch.testing.assert_close(value, right[name], rtol=0, atol=tolerance, msg=name)


def losses(run: Any) -> list[float]:
    return [line["loss"] for line in run.state.log_history if "loss" in line]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    run = trainer(tmp_path_factory.mktemp("whole"), micro=None)
    run.train()
    return run


@pytest.mark.parametrize("micro", [1, 2])
def test_a_step_cut_into_micro_batches_is_the_same_step(
    whole: Any, micro: int, tmp_path: Path
) -> None:
    cut = trainer(tmp_path, micro=micro)
    cut.train()
    assert_same(weights(whole), weights(cut), 2e-5)
    for line, other in zip(whole.state.log_history, cut.state.log_history, strict=True):
        for name in ("alignment", "diversity", "reward", "cross_entropy", "rollout_length"):
            assert line.get(name) == pytest.approx(other.get(name), abs=1e-4), name


def test_two_processes_are_the_same_as_one(whole: Any, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node=2", "-m", "tests.training.runs", str(tmp_path), "1"]
    finished = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    found = torch.load(tmp_path / "found.pt", weights_only=False)
    assert_same(weights(whole), found["weights"], 2e-5)
    assert whole.evaluate_report().means() == pytest.approx(found["means"], abs=1e-4)
    mine = [line for line in whole.state.log_history if "loss" in line]
    for line, other in zip(mine, found["logged"], strict=True):
        for name in ("alignment", "reward", "cross_entropy", "grad_norm"):
            assert line[name] == pytest.approx(other[name], abs=1e-4), name


def test_training_moves_the_weights_and_saves_what_transformers_loads(
    whole: Any, tmp_path: Path
) -> None:
    before = dict(tiny_policy().model.named_parameters())
    assert any(not torch.equal(value, before[name]) for name, value in weights(whole).items())
    whole.save_model(str(tmp_path))
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert_same(weights(whole), dict(loaded.named_parameters()), 0)
    assert "ebmlm" not in (tmp_path / "config.json").read_text()


def test_a_resumed_run_is_the_uninterrupted_one(whole: Any, tmp_path: Path) -> None:
    class StopAfterTwo(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            control.should_training_stop = state.global_step == 2

    stopped = trainer(tmp_path, micro=2, save_every=1, callbacks=[StopAfterTwo()])
    stopped.train()
    assert stopped.state.global_step == 2
    resumed = trainer(tmp_path, micro=2, save_every=1)
    resumed.train(resume_from_checkpoint=True)
    assert resumed.state.global_step == STEPS
    assert_same(weights(whole), weights(resumed), 2e-5)


class FailsAt(CrossEntropy):
    """Cross-entropy that turns into something else at one step."""

    def __init__(self, step: int, factor: float) -> None:
        self.step, self.factor, self.calls = step, factor, 0

    def loss(
        self, model: Any, batch: Any, *, counts: Any = None, generator: Any = None
    ) -> Estimate:
        self.calls += 1
        estimate = super().loss(model, batch, counts=counts)
        if self.calls < self.step:
            return estimate
        return Estimate(estimate.loss * self.factor, estimate.metrics)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_checkpoint(
    tmp_path: Path,
) -> None:
    run = trainer(tmp_path, micro=None, objective=FailsAt(3, float("nan")), save_every=1)
    with pytest.raises(TrainingDiverged, match=r"loss is nan at step 3.*checkpoint-2"):
        run.train()
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "checkpoint-2") is not None


def test_a_gradient_that_is_not_finite_never_reaches_the_weights(tmp_path: Path) -> None:
    class InfiniteGradient(FailsAt):
        def loss(self, model: Any, batch: Any, *, counts: Any = None, generator: Any = None) -> Any:
            estimate = super().loss(model, batch, counts=counts)
            if self.calls < self.step:
                return estimate
            weight = next(model.model.parameters())
            # Zero in value, infinite in slope.
            kink = (weight.flatten()[0] - weight.flatten()[0].detach()).abs().sqrt()
            return Estimate(estimate.loss + kink, estimate.metrics)

    run = trainer(
        tmp_path, micro=None, objective=InfiniteGradient(2, 1.0), callbacks=[FiniteGradients()]
    )
    with pytest.raises(TrainingDiverged, match="not finite at step 2"):
        run.train()
    assert all(value.isfinite().all() for value in weights(run).values())


def test_metrics_are_written_line_by_line(tmp_path: Path) -> None:
    import json

    path = tmp_path / "metrics.jsonl"
    trainer(
        tmp_path, micro=2, evaluate_every=2, callbacks=[MetricsFile(path, TrainingClock(path))]
    ).train()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3]
    assert [line["step"] for line in lines if "eval_cross_entropy" in line] == [2, 3]
    assert all(line["seconds"] >= 0 for line in lines)


class Watching(CrossEntropy):
    """Cross-entropy that keeps the type its passes are computed in."""

    def __init__(self) -> None:
        self.types: set[torch.dtype] = set()

    def loss(self, model: Any, batch: Any, **options: Any) -> Estimate:
        hook = model.model.lm_head.register_forward_hook(
            lambda head, inputs, output: self.types.add(output.dtype)
        )
        try:
            return super().loss(model, batch, **options)
        finally:
            hook.remove()


@pytest.mark.parametrize("precision", [Precision.bfloat16, Precision.float32])
def test_passes_are_computed_in_the_precision_asked_for(
    precision: Precision, tmp_path: Path
) -> None:
    objective = Watching()
    run = trainer(tmp_path, micro=2, objective=objective, precision=precision)
    run.train()
    assert objective.types == {getattr(torch, precision.name)}
    plain = trainer(tmp_path, micro=2, precision=Precision.float32).evaluate_report().means()
    fresh = trainer(tmp_path, micro=2, precision=precision).evaluate_report().means()
    assert (fresh == plain) == (precision is Precision.float32)


def test_bfloat16_passes_train_float32_weights(tmp_path: Path) -> None:
    run = trainer(tmp_path, micro=2, precision=Precision.bfloat16)
    start = weights(run)
    run.train()
    assert {value.dtype for value in weights(run).values()} == {torch.float32}
    assert all(not torch.equal(value, start[name]) for name, value in weights(run).items())


def test_more_processes_than_held_out_rows_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trainer(tmp_path, micro=None)
    monkeypatch.setattr(type(run.accelerator), "num_processes", 9)
    with pytest.raises(UserError, match="5 held-out sequences for 9 processes"):
        run.evaluate_report()


def test_step_generators_differ_by_step_and_seed() -> None:
    draws = {
        float(torch.rand((), generator=step_generator(seed, step)))
        for seed in range(3)
        for step in range(4)
    }
    assert len(draws) == 12


def test_counts_of_pieces_add_up() -> None:
    assert ItemCounts(1, 2) + ItemCounts(3, 4) == ItemCounts(4, 6)
    assert tiny_ebft(tiny_policy()) is not None
