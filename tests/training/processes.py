"""A tiny run as one of several processes, by DDP or FSDP2, on CPUs.

As a program: ``python -m torch.distributed.run ... -m tests.training.processes OUTPUT [options]``.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback

from ebmlm.features import RunningMetricWhitening
from ebmlm.objectives import Objective, recipes
from ebmlm.transformers_model import TransformersLanguageModel
from tests.training import runs

_FSDP = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
    "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",
}


def use_fsdp_on_cpus() -> None:
    """Let accelerate shard on CPUs as it does on accelerators: it has all it needs but the will."""
    os.environ.update(_FSDP)
    from accelerate.state import AcceleratorState
    from accelerate.utils import DistributedType

    own: Callable[..., None] = AcceleratorState.__init__

    def init(self: Any, *arguments: Any, fsdp_plugin: Any = None, **options: Any) -> None:
        own(self, *arguments, fsdp_plugin=fsdp_plugin, **options)
        if fsdp_plugin is not None and self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type = DistributedType.FSDP
            self.fsdp_plugin = fsdp_plugin

    AcceleratorState.__init__ = init


def objective(policy: TransformersLanguageModel) -> Objective:
    """EBFT in a metric that is averaged over steps and processes."""
    return recipes.ebft(
        policy,
        horizon=3,
        stride=4,
        context=4,
        samples=3,
        cross_entropy=0.1,
        whitening=RunningMetricWhitening(0.5),
    )


class StopsAt(TrainerCallback):
    """Ends the run after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            control.should_training_stop = True


def plain_weights(model: Any) -> dict[str, Tensor]:
    """Weights, whole, by name."""
    return {
        name: (value.full_tensor() if hasattr(value, "full_tensor") else value).detach().clone()
        for name, value in model.named_parameters()
    }


def run(output: Path, processes: int, *, stop: int, resume: str | None) -> Any:
    policy = runs.tiny_policy()
    trainer = runs.trainer(
        output / "run",
        micro=1,
        processes=processes,
        policy=policy,
        objective=objective(policy),
        callbacks=[StopsAt(stop)],
        save_every=1,
    )
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("output", type=Path)
    parser.add_argument("--fsdp", action="store_true")
    parser.add_argument("--stop", type=int, default=99)
    parser.add_argument("--resume")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.fsdp:
        use_fsdp_on_cpus()
    from accelerate import PartialState

    state = PartialState(cpu=True)
    done = run(options.output, state.num_processes, stop=options.stop, resume=options.resume)
    assert done.is_fsdp_enabled == options.fsdp
    report = done.evaluate_report()
    done.save_model(str(options.output / "checkpoint"))
    found = {
        "weights": plain_weights(done.language_model.model),
        "logged": [line for line in done.state.log_history if "loss" in line],
        "means": report.means(),
    }
    if state.is_main_process:
        torch.save(found, options.output / "found.pt")
    state.wait_for_everyone()
    # See tests/training/runs.py.
    os._exit(0)


if __name__ == "__main__":
    main()
