"""How long a rollout is, as an energy."""

from __future__ import annotations

import torch

from ebmlm.energies.base import Energy, EnergyTerms
from ebmlm.errors import UserError
from ebmlm.rollouts import Rollouts, Scores

__all__ = ["LengthEnergy"]


class LengthEnergy(Energy):
    """Tokens of a rollout beyond the first ``free`` ones, its end token counted.

    With a small coefficient it keeps completions short:
    ``VerifierEnergy(verifier, texts) + 0.001 * LengthEnergy(free=32)``. Reports ``excess_length``
    in tokens.

    Args:
        free: tokens that cost nothing.

    Raises:
        UserError: for a negative number of free tokens.
    """

    def __init__(self, free: int = 0) -> None:
        if free < 0:
            raise UserError(f"free is {free}: it must be at least 0 tokens")
        self.free = free

    @torch.no_grad()
    def __call__(self, rollouts: Rollouts, scores: Scores) -> EnergyTerms:
        """See :meth:`Energy.__call__`."""
        length = rollouts.token_mask().sum(-1)
        excess = (length - self.free).clamp(min=0).to(scores.policy.dtype)
        return EnergyTerms(excess, metrics={"excess_length": excess.mean(-1)})
