"""How many, really: the numbers that stand for a spread of weights."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["cosines", "effective_number", "effective_rollouts"]


def effective_number(weights: Tensor) -> Tensor:
    """Return ``exp(-sum_i p_i log p_i)`` (...) of weights (..., item) brought to a sum of one.

    As many equal weights would have the same entropy: 1 for a single weight, n for n equal ones, 0
    where all are zero. Of the shares of variance it is the effective rank (after Roy and
    Vetterli 2007; docs/explorer.md, "The figures").
    """
    total = weights.sum(-1, keepdim=True)
    shares = weights / total.clamp(min=torch.finfo(weights.dtype).tiny)
    number = torch.special.entr(shares).sum(-1).exp()
    return torch.where(total.squeeze(-1) > 0, number, 0)


def cosines(vectors: Tensor) -> Tensor:
    """Return the cosines (..., row, row) of vectors (..., row, feature), float64.

    A vector without length has the cosine zero with all others, and with itself.
    """
    wide = vectors.double()
    lengths = wide.norm(dim=-1, keepdim=True)
    units = torch.where(lengths > 0, wide / lengths.clamp(min=torch.finfo(wide.dtype).tiny), 0)
    return (units @ units.mT).clamp(-1, 1)


def effective_rollouts(features: Tensor) -> Tensor:
    """Return how many distinct rollouts their features (..., sample, feature) amount to.

    The Vendi score (Friedman and Dieng 2023) under the cosine: the effective number of eigenvalues
    of the cosines' matrix, from 1 (all alike) to the number of rollouts (all orthogonal).
    """
    return effective_number(torch.linalg.eigvalsh(cosines(features)).clamp(min=0))
