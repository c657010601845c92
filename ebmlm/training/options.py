"""Options of a training run, in the units people think in."""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ebmlm.errors import UserError
from ebmlm.training.precision import Precision

if TYPE_CHECKING:
    from transformers import TrainingArguments

__all__ = ["TrainingOptions"]


@dataclass(frozen=True)
class TrainingOptions:
    """How a run is trained; everything else is in ``extra``.

    Args:
        steps: optimiser steps.
        batch_size: sequences a step, over all processes and micro-batches together.
        micro_batch_size: sequences that one process takes through the model at once; memory grows
            with it, the result does not depend on it. null for as many as a step has.
        learning_rate: peak learning rate of AdamW.
        warmup: share of the steps over which the learning rate rises from zero; then it is
            constant, unless ``extra`` names another schedule.
        betas: decay rates of AdamW's two moments, a step.
        weight_decay: decoupled weight decay, a step, times the learning rate.
        max_gradient_norm: gradients are scaled down to this length; 0 for no limit.
        precision: number format of the passes: auto, bfloat16 or float32.
        gradient_checkpointing: keep fewer activations and compute them again; saves memory.
        log_every: steps between two lines of metrics.jsonl.
        evaluate_every: steps between evaluations on held-out text; 0 for before and after only.
        save_every: steps between checkpoints to resume from; 0 for none.
        keep_checkpoints: how many of these are kept, the newest.
        seed: of the data's order and of every draw.
        report_to: trackers, of those that transformers knows: tensorboard, wandb, trackio, ...
        extra: further arguments of transformers.TrainingArguments by name.

    Raises:
        UserError: for a value out of range, or a name in ``extra`` that does not exist or that one
            of the options above sets.
    """

    steps: int = 100
    batch_size: int = 16
    micro_batch_size: int | None = 2
    learning_rate: float = 1e-5
    warmup: float = 0.03
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.0
    max_gradient_norm: float = 1.0
    precision: Precision = Precision.auto
    gradient_checkpointing: bool = False
    log_every: int = 1
    evaluate_every: int = 0
    save_every: int = 0
    keep_checkpoints: int = 2
    seed: int = 0
    report_to: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, least in (
            ("steps", 1),
            ("batch_size", 1),
            ("log_every", 1),
            ("evaluate_every", 0),
            ("save_every", 0),
            ("keep_checkpoints", 1),
            ("seed", 0),
        ):
            if getattr(self, name) < least:
                raise UserError(f"{name} is {getattr(self, name)}: it must be at least {least}")
        if self.micro_batch_size is not None and self.micro_batch_size < 1:
            raise UserError(f"micro_batch_size is {self.micro_batch_size}: it must be at least 1")
        for name in ("learning_rate", "warmup", "weight_decay", "max_gradient_norm"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UserError(
                    f"{name} is {getattr(self, name)}: it must be finite and at least 0"
                )
        if self.warmup > 1:
            raise UserError(f"warmup is {self.warmup}: it is a share of the steps, from 0 to 1")

    def micro_batches(self, processes: int) -> tuple[int, int]:
        """Return (sequences a pass, passes a step) of each of ``processes``.

        Raises:
            UserError: if a step cannot be cut evenly.
        """
        each, rest = divmod(self.batch_size, processes)
        if rest or not each:
            raise UserError(
                f"batch_size {self.batch_size} cannot be shared evenly by {processes} processes:"
                f" make it a multiple of {processes}"
            )
        size = each if self.micro_batch_size is None else min(self.micro_batch_size, each)
        if each % size:
            raise UserError(
                f"micro_batch_size {size} does not divide the {each} sequences a step of each"
                " process: choose a divisor"
            )
        return size, each // size

    def arguments(self, output: Path, processes: int = 1) -> TrainingArguments:
        """Return the trainer's arguments for a run in the folder ``output``.

        Raises:
            UserError: for a name in ``extra`` that does not exist or is set otherwise.
        """
        from transformers import TrainingArguments

        size, passes = self.micro_batches(processes)
        ours: dict[str, Any] = {
            "output_dir": str(output),
            "max_steps": self.steps,
            "per_device_train_batch_size": size,
            "gradient_accumulation_steps": passes,
            "learning_rate": self.learning_rate,
            "warmup_steps": round(self.warmup * self.steps),
            "adam_beta1": self.betas[0],
            "adam_beta2": self.betas[1],
            "weight_decay": self.weight_decay,
            "max_grad_norm": self.max_gradient_norm,
            "use_cpu": not torch.accelerator.is_available(),
            "bf16": self.precision.uses_bfloat16(),
            "logging_steps": self.log_every,
            "eval_strategy": "steps" if self.evaluate_every else "no",
            "eval_steps": self.evaluate_every or None,
            "save_strategy": "steps" if self.save_every else "no",
            "save_steps": self.save_every or self.steps,
            "save_total_limit": self.keep_checkpoints,
            "seed": self.seed,
            "report_to": self.report_to or "none",
            "remove_unused_columns": False,
            "logging_nan_inf_filter": False,
            "disable_tqdm": True,
        }
        known = {spec.name for spec in dataclasses.fields(TrainingArguments)}
        # Renamed in transformers 5.
        renamed = "activation_checkpointing" in known
        ours["activation_checkpointing" if renamed else "gradient_checkpointing"] = (
            self.gradient_checkpointing
        )
        defaults: dict[str, Any] = {
            "lr_scheduler_type": "constant_with_warmup",
            "dataloader_pin_memory": False,
            "ddp_find_unused_parameters": False,
        }
        for name in self.extra:
            if name in ours:
                raise UserError(f"training.extra.{name}: set it by the option of its own instead")
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise UserError(f"training.extra.{name}: transformers has no such argument{hint}")
        return TrainingArguments(**{**defaults, **ours, **self.extra})
