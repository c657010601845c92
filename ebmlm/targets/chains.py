"""Whether chains have forgotten where they started."""

from __future__ import annotations

import torch
from torch import Tensor

from ebmlm.typing import BatchAnchor

__all__ = ["r_hat"]


def r_hat(values: Tensor) -> BatchAnchor:
    """Potential scale reduction (batch, anchor) of chains (batch, anchor, chain, step).

    The root of the variance over all chains by that within each (Gelman and Rubin 1992, without the
    correction for degrees of freedom); near one where chains agree. One where nothing varies,
    infinite where chains stand still apart from each other, not a number for a single chain or
    step.
    """
    chains, steps = values.shape[-2:]
    if chains < 2 or steps < 2:
        return torch.full(values.shape[:2], torch.nan, device=values.device)
    finite = values.clamp(min=torch.finfo(values.dtype).min / 4)
    # What rounding leaves of numbers that are all the same is no variance.
    least = (torch.finfo(finite.dtype).eps * finite.abs().amax((-1, -2))).square()
    within = _or_zero(finite.var(-1).mean(-1), least)
    between = _or_zero(finite.mean(-1).var(-1), least)
    pooled = (steps - 1) / steps * within + between
    same = (between == 0) & (within == 0)
    return torch.where(same, 1.0, (pooled / within).sqrt())


def _or_zero(variance: Tensor, least: Tensor) -> Tensor:
    return torch.where(variance > 100 * least, variance, 0)
