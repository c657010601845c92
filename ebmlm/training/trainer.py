"""The training loop: ``transformers.Trainer`` with loss and evaluation handed to our parts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from accelerate.utils import gather_object
from torch import Tensor, nn
from transformers import PrinterCallback, Trainer, TrainingArguments

from ebmlm.adapted import is_adapted, save_adapters_alone
from ebmlm.data.collate import collate
from ebmlm.data.row import TextRow
from ebmlm.errors import UserError
from ebmlm.evaluation.base import Evaluation
from ebmlm.evaluation.report import EvaluationReport
from ebmlm.objectives.base import ItemCounts, Objective
from ebmlm.rollouts import SequenceBatch
from ebmlm.training.callbacks import EndOfStep
from ebmlm.training.clock import TrainingClock
from ebmlm.training.diverged import TrainingDiverged
from ebmlm.training.objective_state import keep, restore
from ebmlm.training.rank_allocation import RankAllocation, allocates_ranks
from ebmlm.training.redirection import forward_through
from ebmlm.training.sharding import gather_weights, whole, whole_state
from ebmlm.transformers_model import TransformersLanguageModel

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, TrainerCallback

__all__ = ["EBMTrainer", "SavesItself", "step_generator"]


@runtime_checkable
class SavesItself(Protocol):
    """A module that is not transformers' own, and knows how it is written."""

    def save(self, folder: str) -> None:
        """Write it into a folder."""


def _as_mapping(rows: Sequence[TextRow]) -> dict[str, Tensor]:
    batch = collate(rows)
    values = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    return {name: value for name, value in values.items() if value is not None}


class EBMTrainer(Trainer):
    """``transformers.Trainer`` for any :class:`~ebmlm.objectives.Objective`.

    Checkpoints, resuming, schedules, gradient accumulation, mixed precision, several processes,
    logging and callbacks are the trainer's own. Two things are ours:

    - the loss is normalised over the whole optimiser step, over micro-batches and processes, so
      that loss and gradient do not depend on how a step is cut;
    - the draws of a step depend on the seed, the step and each sequence's id, so that they do not
      either, and a resumed run draws what the uninterrupted one would have drawn.

    Args:
        language_model: the policy; its model is trained in place.
        objective: what is minimised; where it trains something else
            (:meth:`~ebmlm.objectives.Objective.trained`), that is trained in place of the policy.
        args: the trainer's arguments; ``remove_unused_columns`` must be off.
        train_dataset: rows of text.
        eval_dataset: held-out rows, for ``evaluation``.
        evaluation: measures the policy on the held-out rows; reported as ``eval_...``.
        tokeniser: saved with the checkpoints.
        callbacks: the trainer's callbacks.
        clock: is paused while the policy is evaluated.
    """

    # Our losses are normalised over the whole accumulated step.
    loss_is_scaled_for_ga = True

    def __init__(
        self,
        language_model: TransformersLanguageModel,
        objective: Objective,
        args: TrainingArguments,
        train_dataset: Any,
        *,
        eval_dataset: Any = None,
        evaluation: Evaluation | None = None,
        tokeniser: PreTrainedTokenizerBase | None = None,
        callbacks: list[TrainerCallback] | None = None,
        clock: TrainingClock | None = None,
    ) -> None:
        super().__init__(
            model=objective.trained(language_model),
            args=args,
            data_collator=_as_mapping,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=tokeniser,
            callbacks=[
                *([] if clock is None else [clock]),
                EndOfStep(objective, self._gathered),
                *(callbacks or []),
            ],
        )
        self._trained: nn.Module = objective.trained(language_model)
        if is_adapted(self._trained):
            save_adapters_alone(self._trained)
            if allocates_ranks(self._trained):
                self.add_callback(RankAllocation())
        # Ours (ProgressLine) or the user's own show progress; this one prints raw dictionaries.
        self.remove_callback(PrinterCallback)
        self.language_model: TransformersLanguageModel = language_model
        self.objective: Objective = objective
        self.evaluation: Evaluation | None = evaluation
        self._clock = clock
        self._sums: dict[str, Tensor] = {}
        self._steps_summed = 0

    def train(
        self, resume_from_checkpoint: str | bool | None = None, *arguments: Any, **options: Any
    ) -> Any:
        """Train; what the objective's parts remember is read from the checkpoint, too.

        Raises:
            UserError: for a checkpoint of another objective.
        """
        if isinstance(resume_from_checkpoint, str):
            restore(self.objective, Path(resume_from_checkpoint))
        return super().train(resume_from_checkpoint, *arguments, **options)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write the model; in a checkpoint to resume from, also what the objective remembers.

        Other than in a checkpoint to resume from, a module with a method ``save(folder)`` of its
        own, such as a learned energy's, is written by that.
        """
        if isinstance(self._trained, SavesItself) and not _internal_call:
            if self.args.should_save:
                self._trained.save(str(output_dir or self.args.output_dir))
        elif self.is_fsdp_enabled and not _internal_call:
            # One ordinary folder, whatever the checkpoints to resume from are.
            state = whole_state(self._trained, keep=self.args.should_save)
            self._save(output_dir, state_dict=state)
        else:
            super().save_model(output_dir, _internal_call)
        if _internal_call and self.args.should_save and output_dir is not None:
            Path(output_dir).mkdir(parents=True, exist_ok=True)
            keep(self.objective, Path(output_dir))

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor]:
        """Fetch a step's micro-batches and count what its means are taken over, everywhere."""
        batches = []
        for _ in range(num_batches):
            try:
                batches.append(next(epoch_iterator))
            except StopIteration:
                break
        counts, text = ItemCounts(0, 0), 0
        for batch in batches:
            counts = counts + self.objective.counts(SequenceBatch(**batch))
            text += int(batch["sequence_mask"].sum())
        local = torch.tensor([counts.anchors, counts.tokens, text], dtype=torch.float64)
        whole = self.accelerator.reduce(local.to(device), reduction="sum")
        self._steps_summed += 1
        self.state.num_input_tokens_seen += int(whole[2])
        return batches, whole[:2]

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Mapping[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Return the objective's loss for a micro-batch, as its part of the step's.

        Raises:
            TrainingDiverged: if the loss is not finite.
        """
        counts = None
        if isinstance(num_items_in_batch, Tensor):
            counts = ItemCounts(*num_items_in_batch.tolist())
        generator = step_generator(self.args.seed, self.state.global_step)

        def run() -> Tensor:
            estimate = self.objective.loss(
                self.language_model, SequenceBatch(**inputs), counts=counts, generator=generator
            )
            for name, value in estimate.metrics.items():
                self._sums[name] = self._sums.get(name, 0.0) + value.detach().double()
            return estimate.loss

        gather_weights(self._trained)
        loss = forward_through(model, self._trained, run)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingDiverged(
                f"the loss is {value} at step {self.state.global_step + 1}:"
                f" training stops; {self._last_checkpoint()}"
            )
        # Gradients are averaged over processes; ours are parts of a sum.
        loss = loss * self.accelerator.num_processes
        return (loss, {}) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the objective's metrics, means over the steps since the last time."""
        steps = self._steps_summed
        if "loss" in logs and self._sums and steps > 0:
            names = sorted(self._sums)
            sums = torch.stack([self._sums[name] for name in names])
            means = self.accelerator.reduce(sums, reduction="sum") / steps
            logs = {**logs, **dict(zip(names, means.tolist(), strict=True))}
            self._sums = {}
            self._steps_summed = 0
        super().log(logs, start_time)

    def evaluate(
        self,
        eval_dataset: Any = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Measure the policy on held-out rows and report every mean and its standard error."""
        with nullcontext() if self._clock is None else self._clock.paused():
            report = self.evaluate_report(eval_dataset)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in report.means().items()}
        for name, value in report.standard_errors().items():
            metrics[f"{metric_key_prefix}_{name}_standard_error"] = value
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def evaluate_report(
        self, eval_dataset: Any = None, on_progress: Any = None
    ) -> EvaluationReport:
        """Measure the policy on held-out rows, spread over processes; every process gets all of it.

        Raises:
            ValueError: if the trainer has no evaluation or no held-out rows.
            UserError: for fewer held-out rows than processes.
        """
        rows: Any = self.eval_dataset if eval_dataset is None else eval_dataset
        if self.evaluation is None or rows is None:
            raise ValueError("nothing to evaluate: give the trainer an evaluation and eval_dataset")
        if len(rows) < self.accelerator.num_processes:
            raise UserError(
                f"{len(rows)} held-out sequences for {self.accelerator.num_processes} processes:"
                " hold out at least one for each"
            )
        mine = range(self.accelerator.process_index, len(rows), self.accelerator.num_processes)
        with self.inference():
            report = self.evaluation(
                self.language_model,
                [rows[index] for index in mine],
                device=self.args.device,
                on_progress=on_progress,
            )
        if self.accelerator.num_processes == 1:
            return report
        return EvaluationReport.joined(gather_object([report]))

    @contextmanager
    def inference(self) -> Iterator[None]:
        """What passes outside of training run in: the run's precision, and whole weights."""
        with self.compute_loss_context_manager(), whole(self._trained):
            yield

    def autocast_smart_context_manager(
        self, cache_enabled: bool | None = True
    ) -> AbstractContextManager[Any]:
        """Mixed precision for our passes, which do not go through the model's own forward."""
        return self.accelerator.autocast()

    def floating_point_ops(self, inputs: Mapping[str, Any]) -> int:
        """Zero: the trainer's estimate counts a plain pass over the text and would be wrong."""
        return 0

    def _gathered(self, tensor: Tensor) -> list[Tensor]:
        if self.accelerator.num_processes == 1:
            return [tensor]
        return [part.to(tensor.device) for part in gather_object([tensor.cpu()])]

    def _last_checkpoint(self) -> str:
        from transformers.trainer_utils import get_last_checkpoint

        last = get_last_checkpoint(str(self.args.output_dir))
        return f"the last checkpoint is kept in {last}" if last else "no checkpoint was due yet"


def step_generator(seed: int, step: int) -> torch.Generator:
    """The CPU generator of an optimiser step: the same for all of its pieces, on every process."""
    return torch.Generator().manual_seed((seed * 1_000_003 + step) % (1 << 63))
