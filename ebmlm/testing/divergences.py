"""Exact divergences and Gibbs distributions over an enumerated set of completions.

Everything here takes log-probabilities (completion,) of all completions, so that values and, by
autograd, gradients are exact (docs/mathematics.md, "Exactness").
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ebmlm.typing import Row, Scalar

__all__ = [
    "exact_divergence",
    "exact_gibbs",
    "forward_kl",
    "jensen_shannon",
    "reverse_kl",
    "total_variation",
]

Generator = Callable[[Tensor], Tensor]


def exact_gibbs(
    reference_log_probs: Row, energies: Row, temperature: float = 1.0
) -> tuple[Row, Scalar]:
    """Log-probabilities (completion,) of ``p_ref(y) exp(-E(y)/temperature) / Z``, and ``log Z``.

    An energy of infinity rules a completion out. All in nats.

    Raises:
        ValueError: for a temperature that is not positive, or where nothing has any probability.
    """
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}: it must be above 0")
    unnormalised = reference_log_probs - energies / temperature
    log_partition = unnormalised.logsumexp(0)
    if not log_partition.isfinite():
        raise ValueError(
            f"log Z is {float(log_partition)}: the energies leave no completion any probability,"
            " or are not numbers; allow at least one"
        )
    return unnormalised - log_partition, log_partition


def forward_kl(ratio: Tensor) -> Tensor:
    """``-log r`` with ``r = p / target``: the divergence KL(target || p)."""
    return -ratio.log()


def reverse_kl(ratio: Tensor) -> Tensor:
    """``r log r``, zero at zero: the divergence KL(p || target)."""
    return torch.special.xlogy(ratio, ratio)


def jensen_shannon(ratio: Tensor) -> Tensor:
    """The Jensen-Shannon divergence: mean KL of the two from their equal mixture, in nats."""
    mixed = (ratio + 1) / 2
    return (torch.special.xlogy(ratio, ratio / mixed) - mixed.log()) / 2


def total_variation(ratio: Tensor) -> Tensor:
    """``|r - 1| / 2``: half the summed absolute difference of the probabilities."""
    return (ratio - 1).abs() / 2


def exact_divergence(log_probs: Row, target_log_probs: Row, generator: Generator) -> Scalar:
    """``sum_y t(y) f(p(y) / t(y))``: the f-divergence of p from a target t, with gradient.

    Csiszar 1967. Both must be positive on the same completions.

    Args:
        log_probs: (completion,) of the policy, in nats, with gradient.
        target_log_probs: (completion,) of the target, in nats.
        generator: f, convex with f(1) = 0: :func:`forward_kl`, :func:`reverse_kl`,
            :func:`jensen_shannon`, :func:`total_variation`, or one of your own.
    """
    ratio = (log_probs - target_log_probs).exp()
    return (target_log_probs.exp() * generator(ratio)).sum()
