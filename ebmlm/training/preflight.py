"""What can be known to fail is known before the work starts."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ebmlm.adapted import is_adapted
from ebmlm.compatibility import probe
from ebmlm.data.collate import collate
from ebmlm.data.row import TextRows
from ebmlm.errors import UserError
from ebmlm.objectives.base import ItemCounts, Objective
from ebmlm.objectives.energy import EnergyObjective
from ebmlm.objectives.policy import PolicyObjective
from ebmlm.training.rank_allocation import allocates_ranks

if TYPE_CHECKING:
    from ebmlm.transformers_model import TransformersLanguageModel

__all__ = ["check_adapters", "check_objective", "check_output", "check_space"]

_ROWS_AT_ONCE = 64


def check_output(output: Path, *, resume: bool) -> None:
    """Make the run folder and write into it once.

    Raises:
        UserError: if it cannot be made or written, or holds something and the run is a new one.
    """
    if output.exists() and not output.is_dir():
        raise UserError(f"output {output} is a file: name a folder")
    if output.is_dir() and any(output.iterdir()) and not resume:
        raise UserError(
            f"output {output} is not empty: nothing written is overwritten; name another folder,"
            " or resume it with --resume true"
        )
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output) as file:
            file.write(b"0" * 4096)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UserError(
            f"output {output} cannot be written to ({error.strerror or error}):"
            " name a folder on a disk that has space and that you may write to"
        ) from error


def check_space(output: Path, needed: int) -> None:
    """Compare the space that checkpoints will take with what there is, both in bytes.

    Raises:
        UserError: if there is too little.
    """
    free = shutil.disk_usage(output).free
    if free < needed:
        raise UserError(
            f"output {output} has {free / 1e9:.1f} GB of free space and this run's checkpoints need"
            f" about {needed / 1e9:.1f} GB: free some, keep fewer (training.keep_checkpoints), or"
            " name another disk"
        )


def check_adapters(policy: TransformersLanguageModel, *, resuming: bool) -> None:
    """Try a pass with gradient, as a step makes it, where ``policy`` has adapters.

    Called in the region that training computes in.

    Args:
        policy: any; without adapters there is nothing to try.
        resuming: whether training goes on from the middle.

    Raises:
        UserError: if the adapters cannot be computed there, some of them get no gradient, or they
            cannot go on from the middle.
    """
    if not is_adapted(policy.model):
        return
    config = policy.model.peft_config[policy.model.active_adapter]
    kind = getattr(config.peft_type, "value", config.peft_type)
    if allocates_ranks(policy.model) and (resuming or getattr(config, "rank_pattern", None)):
        raise UserError(
            f"a {kind} adapter cannot go on training: the averages by which it shares out ranks are"
            " in no checkpoint; start with a new one, in another folder"
        )
    trains = {name: value for name, value in policy.model.named_parameters() if value.requires_grad}
    try:
        loss = policy.score(probe(policy.vocabulary_size, policy.device)).completions.sum()
        found = torch.autograd.grad(loss, list(trains.values()), allow_unused=True)
    except (NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        line = " ".join(str(error).split())[:200]
        raise UserError(
            f"a {kind} adapter cannot be trained in this run's precision ({line}): set"
            " training.precision to float32, or use another type, such as LORA"
        ) from error
    without = [name for name, gradient in zip(trains, found, strict=True) if gradient is None]
    if without:
        more = f" and {len(without) - 1} more" if len(without) > 1 else ""
        raise UserError(
            f"no gradient reaches {without[0]}{more} of the {kind} adapter: leave these modules out"
            " (target_modules, exclude_modules)"
        )


def check_objective(objective: Objective, rows: TextRows) -> int:
    """Lay the objective's anchors over the training rows; return how many rows have none.

    Raises:
        UserError: if rows do not fit the objective (a context longer than the sequence), or none
            has a valid anchor though the objective samples.
    """
    if not isinstance(objective, (EnergyObjective, PolicyObjective)):
        return 0
    total = ItemCounts(0, 0)
    empty = 0
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        stop = min(start + _ROWS_AT_ONCE, len(rows))
        batch = collate([rows[index] for index in range(start, stop)])
        total = total + objective.counts(batch)
        anchors = objective.sampler.anchors.counts(batch, objective.sampler.horizon)
        empty += int((anchors == 0).sum())
    if not total.anchors:
        raise UserError(
            f"no valid anchor in any of {len(rows)} training sequences: no window of"
            f" {objective.sampler.horizon} tokens lies inside one document after its context;"
            " use longer documents or sequences, or a shorter horizon"
        )
    return empty
