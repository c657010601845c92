"""Spearman's rank correlation."""

from __future__ import annotations

from torch import Tensor

__all__ = ["rank_correlation", "ranks"]


def ranks(values: Tensor) -> Tensor:
    """Return the ranks (..., item) of values along the last axis, from 0; ties share their mean."""
    below = (values.unsqueeze(-1) > values.unsqueeze(-2)).sum(-1)
    equal = (values.unsqueeze(-1) == values.unsqueeze(-2)).sum(-1)
    return below.double() + (equal - 1).double() / 2


def rank_correlation(left: Tensor, right: Tensor) -> Tensor:
    """Return Spearman's correlation (...) of (..., item); not a number where one does not vary.

    That of Pearson between ranks (Spearman 1904).
    """
    centred = [ranks(values) - ranks(values).mean(-1, keepdim=True) for values in (left, right)]
    products = [(a * b).sum(-1) for a in centred for b in centred]
    return products[1] / (products[0] * products[3]).sqrt()
