"""What can be known to fail is known before the work starts."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from ebmlm.data.collate import collate
from ebmlm.data.row import TextRows
from ebmlm.errors import UserError
from ebmlm.objectives.base import ItemCounts, Objective
from ebmlm.objectives.policy import PolicyObjective

__all__ = ["check_objective", "check_output", "check_space"]

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


def check_objective(objective: Objective, rows: TextRows) -> int:
    """Lay the objective's anchors over the training rows; return how many rows have none.

    Raises:
        UserError: if rows do not fit the objective (a context longer than the sequence), or none
            has a valid anchor though the objective samples.
    """
    if not isinstance(objective, PolicyObjective):
        return 0
    total = ItemCounts(0, 0)
    empty = 0
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        stop = min(start + _ROWS_AT_ONCE, len(rows))
        batch = collate([rows[index] for index in range(start, stop)])
        total = total + objective.counts(batch)
        _, mask = objective.sampler.anchors(batch, objective.sampler.horizon)
        empty += int((~mask.any(dim=1)).sum())
    if not total.anchors:
        raise UserError(
            f"no valid anchor in any of {len(rows)} training sequences: no window of"
            f" {objective.sampler.horizon} tokens lies inside one document after its context;"
            " use longer documents or sequences, or a shorter horizon"
        )
    return empty
