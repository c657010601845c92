"""Pearson's chi-square test, for samplers."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["chi_square_p_value"]


def chi_square_p_value(counts: Tensor, probabilities: Tensor) -> float:
    """How probable counts at least this far from their probabilities are (Pearson 1900).

    Cells that are expected less than five times are taken together. A count where there is no
    probability gives 0; a single cell gives 1.

    Args:
        counts: (cell,) of independent draws.
        probabilities: (cell,), adding up to one.
    """
    if (counts[probabilities == 0] > 0).any():
        return 0.0
    expected = probabilities * counts.sum()
    rare = expected < 5
    cells = [
        (float(count), float(mean))
        for count, mean in zip(counts[~rare], expected[~rare], strict=True)
    ]
    if expected[rare].sum() > 0:
        cells.append((float(counts[rare].sum()), float(expected[rare].sum())))
    if len(cells) == 1:
        return 1.0
    statistic = sum((count - mean) ** 2 / mean for count, mean in cells)
    halves = torch.tensor([(len(cells) - 1) / 2, statistic / 2], dtype=torch.float64)
    return float(torch.special.gammaincc(halves[0], halves[1]))
