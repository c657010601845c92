"""A whole run: a model, text, an objective and options, from a configuration to a run folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import nn

from ebmlm.data.base import PreparedData, RunData
from ebmlm.distribution import Categorical
from ebmlm.evaluation.continuations import Continuation, continuations
from ebmlm.evaluation.report import EvaluationReport
from ebmlm.language_model import LanguageModel
from ebmlm.objectives.base import Objective
from ebmlm.texts import Texts
from ebmlm.training.announcement import announce
from ebmlm.training.building import built_objective
from ebmlm.training.measurement import EvaluationOptions
from ebmlm.training.options import TrainingOptions
from ebmlm.training.preflight import check_adapters, check_objective, check_output, check_space
from ebmlm.training.run_folder import RunFolder
from ebmlm.training.start import (
    check_start,
    load_measured,
    load_policy,
    matched_network,
    trainable_parameters,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ebmlm.training.budget import Budget
    from ebmlm.training.clock import TrainingClock
    from ebmlm.training.trainer import EBMTrainer
    from ebmlm.transformers_model import TransformersLanguageModel

__all__ = ["Limit", "Outcome", "Pipeline"]

Limit: TypeAlias = "Callable[[TrainingClock], Budget]"
"""What ends training before its last step, given a clock of the training so far."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a run found: held-out evaluations and continuations before and after."""

    before: EvaluationReport
    after: EvaluationReport
    written_before: list[Continuation]
    written_after: list[Continuation]
    summary: dict[str, Any]


@dataclass(frozen=True)
class Pipeline:
    """A fine-tuning run: evaluate, train, evaluate again, keep everything in one folder.

    Args:
        data: the text to train on and to hold out.
        objective: what is minimised: a recipe, or any callable of the policy and the run's texts.
        model: a packaged model's name, a folder with a model or an adapter, or a Hugging Face id.
        training: how it is trained.
        evaluation: how held-out text is measured.
        output: the run folder: checkpoint/, metrics.jsonl, curves.png, summary.json.
        resume: go on from the last checkpoint in the run folder.
        peft_config: adapters to train in place of the whole model: peft_type and options as in
            PEFT's adapter_config.json, or from Python a peft.PeftConfig; null for none.
        quantization_config: how the base of adapters is held: load_in_4bit and other options of
            transformers' BitsAndBytesConfig; null for the precision that the run computes in.

    Raises:
        UserError: for adapters or a quantisation that cannot be made.
    """

    data: RunData
    objective: Callable[[LanguageModel, Texts], Objective]
    model: str = "smollm2-135m"
    training: TrainingOptions = field(default_factory=TrainingOptions)
    evaluation: EvaluationOptions = field(default_factory=EvaluationOptions)
    output: str = "runs/train"
    resume: bool = False
    peft_config: dict[str, Any] | Any | None = None
    quantization_config: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        check_start(self.model, self.peft_config, self.quantization_config)

    def run(self, console: Any, limit: Limit | None = None) -> Outcome:
        """Do all of it, telling ``console`` (rich) what happens.

        Args:
            console: where it is told.
            limit: ends training by other means than the number of steps.

        Raises:
            UserError: for bad input, before training starts.
            TrainingDiverged: for a loss or gradient that is not finite.
        """
        from accelerate import PartialState

        started = time.monotonic()
        processes = PartialState()
        folder = RunFolder(Path(self.output))
        if processes.is_main_process:
            check_output(folder.path, resume=self.resume)
        processes.wait_for_everyone()
        arguments = self.training.arguments(folder.path, processes.num_processes)

        policy, tokeniser = load_policy(
            self.model,
            arguments.device,
            precision=self.training.precision,
            peft_config=self.peft_config,
            quantization_config=self.quantization_config,
            seed=self.training.seed,
        )
        with self._autocast(policy):
            resuming = self.resume and folder.last_checkpoint() is not None
            check_adapters(policy, resuming=resuming)
        policy.check_length(self.data.length)
        text = self.data.prepare(tokeniser)
        with self._autocast(policy):
            objective = built_objective(self.objective, policy, text.texts)
            network = self._network(policy)
            evaluation = self.evaluation.build(network, text.texts, objective)
        empty = check_objective(objective, text.train)
        check_objective(objective, text.validation)
        with self._autocast(policy):
            evaluation.check(policy, text.validation, device=policy.device)
        trained = objective.trained(policy)
        check_space(folder.path, self._checkpoint_bytes(trained))
        announce(console, self, policy, trained, text, empty)

        from ebmlm.training.callbacks import FiniteGradients, MetricsFile, ProgressLine
        from ebmlm.training.clock import TrainingClock
        from ebmlm.training.trainer import EBMTrainer

        clock = TrainingClock(folder.metrics)
        budget = None if limit is None else limit(clock)
        progress = ProgressLine(console, budget)
        trainer = EBMTrainer(
            policy,
            objective,
            arguments,
            text.train,
            eval_dataset=text.validation,
            evaluation=evaluation,
            tokeniser=tokeniser,
            callbacks=[
                FiniteGradients(),
                MetricsFile(folder.metrics, clock),
                progress,
                *([] if budget is None else [budget]),
            ],
            clock=clock,
        )
        before = folder.read_before() if self.resume else None
        if before is None:
            before = _evaluated(trainer, console, "evaluating before")
        written_before = self._write(trainer, tokeniser, text)
        if trainer.is_world_process_zero():
            folder.write_before(before)
        try:
            trainer.train(resume_from_checkpoint=folder.last_checkpoint() if self.resume else None)
        finally:
            progress.close()
        trainer.save_model(str(folder.checkpoint))
        after = _evaluated(trainer, console, "evaluating after")
        written_after = self._write(trainer, tokeniser, text)
        summary = {
            **_summary(before, after),
            "seconds": round(time.monotonic() - started, 1),
            "training_seconds": round(clock.seconds, 1),
            "steps": trainer.state.global_step,
            "tokens": trainer.state.num_input_tokens_seen,
            "seed": self.training.seed,
            "model": self.model,
            "trainable_parameters": trainable_parameters(trained),
            "bfloat16": self.training.precision.uses_bfloat16(),
            "data": text.summary,
        }
        if trainer.is_world_process_zero():
            folder.write_after(after)
            folder.write_summary(summary)
            folder.draw(before, after, trainer.state.global_step, console)
        return Outcome(before, after, written_before, written_after, summary)

    def measured(self) -> EvaluationReport:
        """Measure the model as it starts on the held-out rows; nothing is trained or written.

        Raises:
            UserError: for bad input.
        """
        from accelerate import PartialState

        policy, tokeniser = load_measured(
            self.model,
            PartialState().device,
            precision=self.training.precision,
            quantization_config=self.quantization_config,
        )
        policy.check_length(self.data.length)
        text = self.data.prepare(tokeniser)
        with self._autocast(policy):
            evaluation = self.evaluation.build(self._network(policy), text.texts)
            return evaluation(policy, text.validation, device=policy.device)

    def _network(self, policy: TransformersLanguageModel) -> LanguageModel:
        """Whose hidden states held-out text is measured in."""
        return matched_network(self.evaluation.network, self.model, policy, self.training.precision)

    def _autocast(self, policy: TransformersLanguageModel) -> torch.autocast:
        enabled = self.training.precision.uses_bfloat16()
        return torch.autocast(policy.device.type, torch.bfloat16, enabled=enabled)

    def _checkpoint_bytes(self, trained: nn.Module) -> int:
        weights = sum(
            parameter.numel() * parameter.element_size()
            for parameter in trained.parameters()
            if parameter.requires_grad
        )
        # A checkpoint to resume from has two moments beside the weights.
        resumable = 3 * weights * (self.training.keep_checkpoints + 1)
        return weights + (resumable if self.training.save_every else 0)

    def _write(
        self, trainer: EBMTrainer, tokeniser: PreTrainedTokenizerBase, text: PreparedData
    ) -> list[Continuation]:
        # Far apart: neighbours may come from one document.
        number = min(self.evaluation.written, len(text.validation))
        rows = [text.validation[place * len(text.validation) // number] for place in range(number)]
        if not rows:
            return []
        distribution = self.evaluation.distribution or Categorical()
        with trainer.inference():
            return continuations(
                trainer.language_model,
                tokeniser,
                rows,
                distribution,
                seed=self.evaluation.seed,
                device=trainer.args.device,
            )


def _evaluated(trainer: EBMTrainer, console: Any, title: str) -> EvaluationReport:
    from rich.progress import Progress

    disabled = not (trainer.is_world_process_zero() and console.is_terminal)
    if trainer.is_world_process_zero() and not console.is_terminal:
        console.print(f"{title} ...", highlight=False)
    with Progress(console=console, transient=True, disable=disabled) as progress:
        task = progress.add_task(title, total=None)

        def on_progress(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        return trainer.evaluate_report(on_progress=on_progress)


def _summary(before: EvaluationReport, after: EvaluationReport) -> dict[str, Any]:
    difference = after.minus(before)
    return {
        "before": before.means(),
        "after": after.means(),
        "difference": difference.means(),
        "standard_error": difference.standard_errors(),
        "sequences": len(before.ids),
    }
