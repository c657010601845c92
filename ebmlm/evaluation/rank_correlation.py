"""Rank correlation: do two numbers order the same things alike?"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["rank_correlation", "ranks"]


def ranks(values: Tensor) -> Tensor:
    """Return ranks (..., item) from 0, in float64; equal values share the mean of their ranks."""
    smaller = values.unsqueeze(-1) > values.unsqueeze(-2)
    equal = values.unsqueeze(-1) == values.unsqueeze(-2)
    return smaller.double().sum(-1) + (equal.double().sum(-1) - 1) / 2


def rank_correlation(left: Tensor, right: Tensor) -> Tensor:
    """Spearman's rank correlation (...,) over the last axis of two tensors (..., item), in float64.

    That of Pearson between ranks, ties sharing theirs (Spearman 1904).
    Not a number where either orders nothing: all of its values are equal, or there is one.
    Time and memory grow with the square of the number of items.
    """
    first, second = (
        each - each.mean(-1, keepdim=True) for each in (ranks(left), ranks(right).to(left.device))
    )
    inner = torch.einsum("... i, ... i -> ...", first, second)
    return inner / (first.norm(dim=-1) * second.norm(dim=-1))
