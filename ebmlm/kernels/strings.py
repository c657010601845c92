"""Continuations as strings of tokens, compared token by token.

What string kernels have in common: the rollouts of an anchor and its real continuation side by
side, and which token of one equals which token of another. Nothing is hashed or embedded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from ebmlm.errors import UserError
from ebmlm.kernels.base import KernelValues
from ebmlm.rollouts import Rollouts

__all__ = ["checked_weights", "string_kernel"]


def string_kernel(rollouts: Rollouts, likeness: Callable[[Tensor], Tensor]) -> KernelValues:
    """Return a kernel that is a function of which tokens of two strings are equal.

    Tokens after the end, and at invalid anchors, are equal to none. One string at a time meets all
    others, so that what is held is (batch, anchor, sample + 1, token, token).

    Args:
        rollouts: whose continuations are the strings.
        likeness: from equal tokens (..., token, token), booleans, the first string's tokens along
            the rows, to numbers (...).
    """
    tokens, real = _side_by_side(rollouts)
    rows = []
    for one in range(tokens.shape[2]):
        equal = tokens[:, :, one, None, :, None] == tokens.unsqueeze(-2)
        both = real[:, :, one, None, :, None] & real.unsqueeze(-2)
        rows.append(likeness(equal & both))
    return KernelValues.of_gram(torch.stack(rows, dim=2))


def checked_weights(weights: Sequence[float]) -> tuple[float, ...]:
    """Return weights of strings of one token, of two and so on, if they make a kernel.

    Raises:
        UserError: for no weight above 0, or one that is negative or not finite.
    """
    for weight in weights:
        if not 0 <= weight < float("inf"):
            raise UserError(f"a weight is {weight}: it must be finite and at least 0")
    if not any(weights):
        raise UserError(f"weights are {list(weights)}: at least one must be above 0")
    return tuple(weights)


def _side_by_side(rollouts: Rollouts) -> tuple[Tensor, Tensor]:
    """Tokens (batch, anchor, sample + 1, token) with their mask, the reference last."""
    length = max(rollouts.horizon, rollouts.references.shape[-1])
    mask = rollouts.reference_mask & rollouts.anchor_mask.unsqueeze(-1)

    def widened(values: Tensor) -> Tensor:
        return pad(values, (0, length - values.shape[-1]))

    tokens = [widened(rollouts.completions), widened(rollouts.references).unsqueeze(2)]
    real = [widened(rollouts.token_mask()), widened(mask).unsqueeze(2)]
    return torch.cat(tokens, 2), torch.cat(real, 2)
