"""Twists of sequential Monte Carlo: how promising is a beginning?"""

from __future__ import annotations

from collections.abc import Callable

import torch

from ebmlm.errors import UserError
from ebmlm.rollouts import Rollouts
from ebmlm.targets.energy_model import EnergyModel
from ebmlm.texts import Attempt, Texts
from ebmlm.typing import BatchAnchorSample

__all__ = ["StillPossible"]


class StillPossible:
    """The twist of a hard constraint: nothing where it may still hold, else ``-penalty``.

    Args:
        may_hold: of a beginning as text. With an infinite penalty it must be false only where no
            completion of the beginning satisfies the constraint: a beginning that is ruled out
            never comes back.
        texts: of the model's tokeniser.
        penalty: in nats.

    Raises:
        UserError: for a penalty that is not above zero.
    """

    def __init__(
        self, may_hold: Callable[[Attempt], bool], texts: Texts, penalty: float = float("inf")
    ) -> None:
        if not penalty > 0:
            raise UserError(f"penalty is {penalty}: it must be above 0 nats, or infinite")
        self.may_hold = may_hold
        self.texts = texts
        self.penalty = penalty

    def __call__(self, target: EnergyModel, rollouts: Rollouts) -> BatchAnchorSample:
        """Return the twist (batch, anchor, sample) in nats."""
        twist = torch.zeros(rollouts.completions.shape[:3])
        for written in self.texts.attempts(rollouts):
            if not self.may_hold(written.attempt):
                twist[written.place] = -self.penalty
        return twist.to(rollouts.completions.device)
