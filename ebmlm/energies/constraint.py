"""A hard constraint as an energy: nothing where it holds, infinite where it does not."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ebmlm.energies.base import Energy, EnergyTerms
from ebmlm.rollouts import Rollouts, Scores
from ebmlm.texts import Attempt, Texts

__all__ = ["ConstraintEnergy"]


class ConstraintEnergy(Energy):
    """Zero where ``holds(attempt)``, plus infinity elsewhere: a filter on completions.

    For an :class:`~ebmlm.targets.EnergyModel`. In a policy gradient of its own an infinite energy
    has no gradient; use ``VerifierEnergy`` there.

    Args:
        holds: says whether a completion, as text, is allowed.
        texts: of the model's tokeniser.
        name: under which the share that holds is reported.
    """

    def __init__(
        self, holds: Callable[[Attempt], bool], texts: Texts, name: str = "constraint"
    ) -> None:
        self.holds = holds
        self.texts = texts
        self.name = name

    @torch.no_grad()
    def __call__(self, rollouts: Rollouts, scores: Scores) -> EnergyTerms:
        """See :meth:`Energy.__call__`."""
        held = torch.zeros(rollouts.completions.shape[:3], dtype=torch.bool)
        for written in self.texts.attempts(rollouts):
            held[written.place] = bool(self.holds(written.attempt))
        held = held.to(rollouts.completions.device)
        unary = torch.where(held, 0.0, torch.inf)
        unary = torch.where(rollouts.anchor_mask.unsqueeze(-1), unary, 0.0)
        return EnergyTerms(unary, metrics={self.name: held.float().mean(-1)})
