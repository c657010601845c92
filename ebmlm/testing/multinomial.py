"""A test of counts whose false-alarm rate is a theorem, for samplers."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["multinomial_p_bound"]


def multinomial_p_bound(counts: Tensor, probabilities: Tensor) -> float:
    """Bound on how probable counts are that are at least this far from their probabilities.

    With n draws into k cells and frequencies f, ``t = n KL(f || p)`` exceeds its value with a
    probability of at most ``(e t / (k - 1))^(k - 1) e^-t`` (Agrawal 2020), for any n and p: unlike
    Pearson's chi-square it holds where a cell is expected less than once. Cells that are expected
    less often than one draw in a hundred are taken together, which keeps k small.

    Args:
        counts: (cell,) of independent draws.
        probabilities: (cell,), adding up to one.

    Returns:
        The bound, at most 1; 0 for a count where there is no probability.
    """
    possible = probabilities > 0
    if (counts[~possible] > 0).any():
        return 0.0
    counts, probabilities = counts[possible].double(), probabilities[possible].double()
    rare = probabilities < 0.01
    if rare.sum() > 1:
        counts = torch.cat([counts[~rare], counts[rare].sum().view(1)])
        probabilities = torch.cat([probabilities[~rare], probabilities[rare].sum().view(1)])
    freedom, draws = len(counts) - 1, float(counts.sum())
    if freedom == 0:
        return 1.0
    frequencies = counts / draws
    ratios = torch.where(counts > 0, frequencies / probabilities, 1)
    distance = draws * float((frequencies * ratios.log()).sum())
    if distance <= freedom:
        return 1.0
    return math.exp(freedom * (1 + math.log(distance / freedom)) - distance)
