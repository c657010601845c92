"""Any Python callable as an energy."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ebmlm.energies.base import Energy, EnergyTerms
from ebmlm.rollouts import Rollouts, Scores
from ebmlm.typing import BatchAnchorSample

__all__ = ["FunctionEnergy"]


class FunctionEnergy(Energy):
    """``function(rollouts) -> (batch, anchor, sample)``: low is good.

    Args:
        function: any callable; what it returns at invalid anchors is ignored.
        name: under which its mean is reported.

    Raises:
        ValueError: when called, if the function returns another shape, or a value at a valid anchor
            that is not finite.
    """

    def __init__(
        self, function: Callable[[Rollouts], BatchAnchorSample], name: str = "function_energy"
    ) -> None:
        self.function = function
        self.name = name

    @torch.no_grad()
    def __call__(self, rollouts: Rollouts, scores: Scores) -> EnergyTerms:
        """See :meth:`Energy.__call__`."""
        values = self.function(rollouts)
        expected = rollouts.completions.shape[:3]
        if values.shape != expected:
            raise ValueError(
                f"{self.name} returned shape {tuple(values.shape)}: it must return one energy per"
                f" rollout, (batch, anchor, sample) = {tuple(expected)}"
            )
        values = torch.where(rollouts.anchor_mask.unsqueeze(-1), values, 0)
        values = values.to(torch.promote_types(values.dtype, torch.float32))
        if not values.isfinite().all():
            raise ValueError(f"{self.name} returned a value that is not finite")
        return EnergyTerms(values, metrics={self.name: values.mean(-1)})
