"""The unbiased estimate of pass@k."""

from __future__ import annotations

import torch
from torch import Tensor

from ebmlm.errors import UserError

__all__ = ["check_pass_at_k", "pass_at_k"]


def check_pass_at_k(samples: int, k: int) -> None:
    """Refuse a k that so many samples of an item say nothing about.

    Raises:
        UserError: for k under 1, or over the number of samples.
    """
    if k < 1:
        raise UserError(f"k is {k}: pass@k needs a k of at least 1")
    if samples < k:
        raise UserError(
            f"pass@{k} cannot be estimated from {samples} samples of an item: draw at least {k}"
        )


def pass_at_k(solved: Tensor, samples: int, k: int) -> Tensor:
    """Return for each item the estimated probability (item,) that one of ``k`` samples solves it.

    ``1 - C(n - c, k) / C(n, k)`` of n samples of which c solve it: the share of all choices of k
    samples that hold a solved one. Unbiased, as ``1 - (1 - c / n)^k`` is not (Chen et al. 2021,
    eq. 1). The quotient is ``prod_{i = n - c + 1}^{n} (1 - k / i)``, taken by its logarithm.

    Args:
        solved: (item,) solved samples of each item, c.
        samples: samples of each item, n.
        k: how many may be tried.

    Raises:
        UserError: for k under 1, or more than there are samples.
        ValueError: if more samples were solved than drawn.
    """
    check_pass_at_k(samples, k)
    if ((solved < 0) | (solved > samples)).any():
        raise ValueError(f"solved must be between 0 and {samples} samples of an item")
    number = torch.arange(samples, 0, -1, dtype=torch.float64)
    # Factors of n, n - 1, ...; where one of them is not positive no choice avoids a solved sample.
    factors = torch.log1p(-k / number.clamp(min=k))
    sums = torch.cat([factors.new_zeros(1), factors.cumsum(0)])
    return torch.expm1(sums[solved.long()]).abs()
