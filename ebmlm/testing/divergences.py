"""Exact divergences and Gibbs distributions over an enumerated set of completions.

Everything here takes log-probabilities (completion,) of all completions, so that values and, by
autograd, gradients are exact (docs/mathematics.md, "Exactness").
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ebmlm.errors import UserError
from ebmlm.typing import Row, Scalar

__all__ = [
    "exact_divergence",
    "exact_gibbs",
    "forward_kl",
    "jensen_shannon",
    "reverse_kl",
    "total_variation",
]


def exact_gibbs(
    reference_log_probs: Row, energies: Row, temperature: float = 1.0
) -> tuple[Row, Scalar]:
    """Gibbs distribution ``p_ref(y) exp(-E(y)/temperature) / Z`` of an energy over a reference.

    docs/mathematics.md, "Towards a reference".

    Args:
        reference_log_probs: (completion,) in nats.
        energies: (completion,) in nats at temperature 1; infinity rules a completion out.
        temperature: divisor of the energies, above 0.

    Returns:
        Its log-probabilities (completion,), and the scalar ``log Z``, in nats, with gradient.

    Raises:
        UserError: for a temperature that is not positive, an energy that is not a number or is
            minus infinity, or where no completion has any probability.
    """
    if not temperature > 0:
        raise UserError(f"temperature is {temperature}: it must be above 0")
    if not (energies > -torch.inf).all():
        wrong = int((~(energies > -torch.inf)).nonzero()[0])
        raise UserError(
            f"the energy of completion {wrong} is {float(energies[wrong])}: it must be a number"
            " above minus infinity"
        )
    unnormalised = reference_log_probs - energies / temperature
    log_partition = unnormalised.logsumexp(0)
    if not log_partition.isfinite():
        raise UserError(
            f"log Z is {float(log_partition)}: energies and reference leave no completion any"
            " probability; allow at least one"
        )
    return unnormalised - log_partition, log_partition


def forward_kl(ratio: Tensor) -> Tensor:
    """``-log r`` of ratios (completion,) p/target: gives KL(target || p) in nats."""
    return -ratio.log()


def reverse_kl(ratio: Tensor) -> Tensor:
    """``r log r`` of ratios (completion,) p/target: gives KL(p || target) in nats."""
    return torch.special.xlogy(ratio, ratio)


def jensen_shannon(ratio: Tensor) -> Tensor:
    """Gives the mean KL of the two from their equal mixture, in nats (Lin 1991)."""
    mixed = (ratio + 1) / 2
    return (torch.special.xlogy(ratio, ratio / mixed) - mixed.log()) / 2


def total_variation(ratio: Tensor) -> Tensor:
    """``|r - 1| / 2``: gives half the summed absolute difference of the probabilities."""
    return (ratio - 1).abs() / 2


def exact_divergence(
    log_probs: Row, target_log_probs: Row, function: Callable[[Tensor], Tensor]
) -> Scalar:
    """``sum_y t(y) f(p(y) / t(y))``: the f-divergence of p from a target t (Csiszar 1967).

    A scalar with gradient, in nats for the functions here that have a logarithm. Completions that
    neither of the two ever writes are left out.

    Args:
        log_probs: (completion,) of the policy, in nats, with gradient.
        target_log_probs: (completion,) of the target, in nats.
        function: f, convex with f(1) = 0: :func:`forward_kl`, :func:`reverse_kl`,
            :func:`jensen_shannon`, :func:`total_variation`, or one of your own. It is called with
            the ratios ``p / t`` (completion,).

    Raises:
        UserError: where one of the two rules a completion out and the other does not: the sum is
            then a limit that depends on f.
    """
    possible = log_probs > -torch.inf
    apart = possible != (target_log_probs > -torch.inf)
    if apart.any():
        wrong = int(apart.nonzero()[0])
        raise UserError(
            f"completion {wrong} has log-probabilities {float(log_probs[wrong])} and"
            f" {float(target_log_probs[wrong])}: both must be able to write it, or neither"
        )
    ratio = (log_probs[possible] - target_log_probs[possible]).exp()
    return (target_log_probs[possible].exp() * function(ratio)).sum()
