"""From the hidden states of a continuation's tokens to one vector.

Every pooling looks at real tokens only, told by their mask: never by token values or by which
side the padding is on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from einops import rearrange
from torch import Tensor

__all__ = ["FirstToken", "LastToken", "MeanToken", "PerToken", "Pooling", "Quartiles"]


class Pooling(ABC):
    """Answers one question: how do the states of several tokens become one vector?

    Attributes:
        factor: how many times as wide as a state the vector is, or None where that depends on the
            horizon.
    """

    factor: int | None = None

    @abstractmethod
    def __call__(self, states: Tensor, mask: Tensor, horizon: int) -> Tensor:
        """Return pooled states (..., pooled feature), zero where no token is real.

        Args:
            states: (..., token, feature).
            mask: (..., token) true at real tokens.
            horizon: tokens of a rollout at most, for poolings whose width depends on it.
        """


class FirstToken(Pooling):
    """The state of the first real token: a classification token's, where a model has one."""

    factor = 1

    def __call__(self, states: Tensor, mask: Tensor, horizon: int) -> Tensor:
        """See :meth:`Pooling.__call__`; as wide as the states."""
        first = mask.long().argmax(-1)
        index = first[..., None, None].expand(*first.shape, 1, states.shape[-1])
        pooled = states.gather(-2, index).squeeze(-2)
        return torch.where(mask.any(-1, keepdim=True), pooled, 0)


class LastToken(Pooling):
    """The state of the last real token."""

    factor = 1

    def __call__(self, states: Tensor, mask: Tensor, horizon: int) -> Tensor:
        """See :meth:`Pooling.__call__`; as wide as the states."""
        index = torch.arange(mask.shape[-1], device=mask.device)
        last = torch.where(mask, index, 0).amax(-1)
        index = last[..., None, None].expand(*last.shape, 1, states.shape[-1])
        pooled = states.gather(-2, index).squeeze(-2)
        return torch.where(mask.any(-1, keepdim=True), pooled, 0)


class MeanToken(Pooling):
    """The mean state of the real tokens."""

    factor = 1

    def __call__(self, states: Tensor, mask: Tensor, horizon: int) -> Tensor:
        """See :meth:`Pooling.__call__`; as wide as the states."""
        weight = mask.to(states.dtype)
        weight = weight / weight.sum(-1, keepdim=True).clamp(min=1)
        return torch.einsum("... t, ... t f -> ... f", weight, _real(states, mask))


class Quartiles(Pooling):
    """The mean states of the four quarters of the real tokens, concatenated.

    Quarter i of n tokens are the tokens from ``floor(i n / 4)`` up to ``floor((i + 1) n / 4)``,
    and at least one token, so that a continuation shorter than four repeats tokens.
    """

    factor = 4

    def __call__(self, states: Tensor, mask: Tensor, horizon: int) -> Tensor:
        """See :meth:`Pooling.__call__`; four times as wide as the states."""
        rank = mask.long().cumsum(-1) - 1
        count = mask.long().sum(-1, keepdim=True)
        quarter = torch.arange(4, device=mask.device)
        begin = torch.div(quarter * count, 4, rounding_mode="floor")
        end = torch.div((quarter + 1) * count, 4, rounding_mode="floor")
        end = torch.maximum(end, begin + 1)
        inside = (rank.unsqueeze(-2) >= begin.unsqueeze(-1)) & (
            rank.unsqueeze(-2) < end.unsqueeze(-1)
        )
        weight = (inside & mask.unsqueeze(-2)).to(states.dtype)
        weight = weight / weight.sum(-1, keepdim=True).clamp(min=1)
        pooled = torch.einsum("... q t, ... t f -> ... q f", weight, _real(states, mask))
        return rearrange(pooled, "... quarter feature -> ... (quarter feature)")


class PerToken(Pooling):
    """The states of the first ``horizon`` tokens side by side, zero where there is no token."""

    def __call__(self, states: Tensor, mask: Tensor, horizon: int) -> Tensor:
        """See :meth:`Pooling.__call__`; ``horizon`` times as wide as the states."""
        kept = _real(states, mask)[..., :horizon, :]
        kept = torch.nn.functional.pad(kept, (0, 0, 0, horizon - kept.shape[-2]))
        return rearrange(kept, "... token feature -> ... (token feature)")


def _real(states: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask.unsqueeze(-1), states, 0)
