"""Held-out rows measured a batch at a time, row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from ebmlm.data.collate import collate
from ebmlm.data.row import TextRows
from ebmlm.errors import UserError
from ebmlm.evaluation.base import OnProgress
from ebmlm.evaluation.measurement import Measurement
from ebmlm.evaluation.report import EvaluationReport
from ebmlm.rollouts import SequenceBatch

__all__ = ["in_batches", "measured_in_batches"]


def in_batches(
    rows: TextRows, size: int, device: torch.device | str = "cpu"
) -> Iterator[SequenceBatch]:
    """Yield ``size`` rows at a time, in their order."""
    for start in range(0, len(rows), size):
        stop = min(start + size, len(rows))
        yield collate([rows[index] for index in range(start, stop)]).to(device)


def measured_in_batches(
    rows: TextRows,
    size: int,
    measure: Callable[[SequenceBatch], Mapping[str, Measurement]],
    device: torch.device | str = "cpu",
    on_progress: OnProgress | None = None,
) -> EvaluationReport:
    """Return the report of what ``measure`` says of each batch's sequences.

    Args:
        rows: held-out text.
        size: rows at once.
        measure: returns measurements by name, each with one total and count a sequence.
        device: where batches are put.
        on_progress: is told as rows are done.

    Raises:
        UserError: if there is no row.
    """
    if not len(rows):
        raise UserError("no held-out sequence to evaluate on")
    ids: list[Tensor] = []
    pieces: list[Mapping[str, Measurement]] = []
    done = 0
    for batch in in_batches(rows, size, device):
        ids.append(batch.ids.cpu())
        pieces.append(measure(batch))
        done += len(batch)
        if on_progress is not None:
            on_progress(done, len(rows))
    order = torch.arange(len(rows))
    return EvaluationReport(
        torch.cat(ids),
        {
            name: Measurement.joined([measured[name] for measured in pieces], order)
            for name in pieces[0]
        },
    )
