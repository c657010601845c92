"""Several processes are the same run as one: by DDP and FSDP2, from checkpoints, whatever their
number was when these were written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.training.processes import plain_weights, run

ROOT = Path(__file__).parents[2]


def launched(output: Path, processes: int, *options: str) -> dict[str, Any]:
    """Run the program in several processes and return what it found."""
    output.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={processes}", "-m", "tests.training.processes", str(output)]
    finished = subprocess.run(
        [*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert finished.returncode == 0, finished.stderr[-4000:]
    found: dict[str, Any] = torch.load(output / "found.pt", weights_only=False)
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The uninterrupted run of one process."""
    done = run(tmp_path_factory.mktemp("alone"), 1, stop=99, resume=None)
    return {
        "weights": plain_weights(done.language_model.model),
        "logged": [line for line in done.state.log_history if "loss" in line],
        "means": done.evaluate_report().means(),
    }


def assert_same(found: dict[str, Any], alone: dict[str, Any], steps: int = 3) -> None:
    assert found["means"] == pytest.approx(alone["means"], abs=1e-4)
    assert found["weights"].keys() == alone["weights"].keys()
    for name, value in alone["weights"].items():
        torch.testing.assert_close(found["weights"][name], value, atol=2e-5, rtol=0)
    lines = found["logged"][-steps:]
    for line, other in zip(lines, alone["logged"][-steps:], strict=True):
        assert line["step"] == other["step"]
        for name in ("loss", "alignment", "diversity", "reward", "cross_entropy", "grad_norm"):
            assert line[name] == pytest.approx(other[name], abs=1e-4), name


def test_ddp_and_its_checkpoints(alone: dict[str, Any], tmp_path: Path) -> None:
    """Two processes for two steps, one for the third."""
    launched(tmp_path / "two", 2, "--stop", "2")
    checkpoint = tmp_path / "two" / "run" / "checkpoint-2"
    resumed = run(tmp_path / "one", 1, stop=99, resume=str(checkpoint))
    found = {
        "weights": plain_weights(resumed.language_model.model),
        "logged": [line for line in resumed.state.log_history if "loss" in line],
        "means": resumed.evaluate_report().means(),
    }
    assert_same(found, alone)


def test_fsdp_is_the_same_run_and_writes_an_ordinary_model(
    alone: dict[str, Any], tmp_path: Path
) -> None:
    found = launched(tmp_path, 2, "--fsdp")
    assert_same(found, alone)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "checkpoint")
    for name, value in loaded.named_parameters():
        torch.testing.assert_close(value, alone["weights"][name], atol=2e-5, rtol=0)


def test_sharded_checkpoints_resume_on_another_number_of_processes(
    alone: dict[str, Any], tmp_path: Path
) -> None:
    launched(tmp_path / "two", 2, "--fsdp", "--stop", "2")
    checkpoint = tmp_path / "two" / "run" / "checkpoint-2"
    assert (checkpoint / "pytorch_model_fsdp_0").is_dir()
    assert (checkpoint / "objective.safetensors").is_file()
    assert not (checkpoint / "model.safetensors").exists()
    found = launched(tmp_path / "four", 4, "--fsdp", "--resume", str(checkpoint))
    assert_same(found, alone, steps=1)
