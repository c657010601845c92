"""Tiny runs of the trainer, alone or as one of several processes.

As a program: ``python -m tests.training.runs OUTPUT MICRO`` trains for a few steps in the processes
that it finds itself in and writes the weights and the logged metrics to OUTPUT.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import LlamaConfig, LlamaForCausalLM, TrainerCallback

from ebmlm.data import TextRow
from ebmlm.evaluation import HeldOutEvaluation
from ebmlm.features import HiddenStateFeatures
from ebmlm.objectives import Objective, recipes
from ebmlm.samplers import BlockParallelSampler, StridedAnchors
from ebmlm.training import EBMTrainer, Precision, TrainingOptions
from ebmlm.transformers_model import TransformersLanguageModel

VOCABULARY = 40
STEPS = 3
BATCH = 4


class Rows(Dataset[TextRow]):
    """Random rows of unequal length, the same each time."""

    def __init__(self, count: int = 16) -> None:
        generator = torch.Generator().manual_seed(1)
        lengths = [24 - 3 * (index % 3) for index in range(count)]
        self.rows = [
            TextRow(
                torch.randint(3, VOCABULARY, (length,), generator=generator),
                (torch.arange(length) >= 12).long(),
                index,
            )
            for index, length in enumerate(lengths)
        ]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> TextRow:
        return self.rows[index]


def tiny_policy() -> TransformersLanguageModel:
    """A random Llama of two layers, the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=64,
            initializer_range=0.2,
        )
        return TransformersLanguageModel(LlamaForCausalLM(config), end_tokens=(2,))


def tiny_ebft(policy: TransformersLanguageModel) -> Objective:
    return recipes.ebft(policy, horizon=3, stride=4, context=4, samples=3, cross_entropy=0.1)


def trainer(
    output: Path,
    *,
    micro: int | None,
    processes: int = 1,
    objective: Objective | None = None,
    policy: TransformersLanguageModel | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    **options: Any,
) -> EBMTrainer:
    policy = tiny_policy() if policy is None else policy
    settings = {
        "steps": STEPS,
        "batch_size": BATCH,
        "micro_batch_size": micro,
        "learning_rate": 1e-2,
        "warmup": 0.0,
        "precision": Precision.float32,
    }
    arguments = TrainingOptions(**(settings | options)).arguments(output, processes)
    sampler = BlockParallelSampler(StridedAnchors(4, 4), 3, 3)
    return EBMTrainer(
        policy,
        tiny_ebft(policy) if objective is None else objective,
        arguments,
        Rows(),
        eval_dataset=Rows(5),
        evaluation=HeldOutEvaluation(sampler, HiddenStateFeatures(policy.frozen()), 2),
        callbacks=list(callbacks),
    )


def weights(of: EBMTrainer) -> dict[str, Tensor]:
    return {
        name: value.detach().clone() for name, value in of.language_model.model.named_parameters()
    }


def main(output: Path, micro: int) -> None:
    from accelerate import PartialState

    torch.set_num_threads(1)
    state = PartialState(cpu=True)
    run = trainer(output / "run", micro=micro, processes=state.num_processes)
    run.train()
    report = run.evaluate_report()
    logged = [line for line in run.state.log_history if "loss" in line]
    if state.is_main_process:
        found = {"weights": weights(run), "logged": logged, "means": report.means()}
        torch.save(found, output / "found.pt")
    state.wait_for_everyone()
    # torch 2.13's gloo process group can wait for ever for the interpreter's lock while it is torn
    # down at exit (a worker thread drops its last result just then); there is nothing left to do.
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
