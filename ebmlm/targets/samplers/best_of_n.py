"""Best of n: the candidate of the highest density, or the lowest energy."""

from __future__ import annotations

import torch

from ebmlm.errors import UserError
from ebmlm.rollouts import SequenceBatch
from ebmlm.samplers.base import Sampler
from ebmlm.targets.energy_model import EnergyModel
from ebmlm.targets.samplers.base import TargetDraws, TargetSampler, picked, ruled_out

__all__ = ["BestOfN"]


class BestOfN(TargetSampler):
    """The ``samples`` candidates of lowest energy out of those that a sampler proposes.

    A baseline: no draw from the target, whatever the number of candidates, but from the tail of its
    energy. The weight ``log p_LM(y) - log q(y)`` is left out: what counts is the energy.

    Args:
        proposal: draws the candidates from the target's language model.
        samples: how many are kept, best first.

    Raises:
        UserError: for fewer candidates than samples.
    """

    def __init__(self, proposal: Sampler, samples: int = 1) -> None:
        if not 1 <= samples <= proposal.samples:
            raise UserError(
                f"samples is {samples}: keep at least 1 and at most the {proposal.samples} that are"
                " proposed"
            )
        self.proposal = proposal
        self.samples = samples

    @property
    def bias(self) -> str | None:
        """Always."""
        return "the best of some candidates is no draw from the target, however many they are"

    @property
    def source(self) -> Sampler:
        """The sampler of candidates."""
        return self.proposal

    def draw(
        self,
        target: EnergyModel,
        batch: SequenceBatch,
        *,
        generator: torch.Generator | None = None,
    ) -> TargetDraws:
        """See :meth:`TargetSampler.draw`; reports the ``best_energy`` in nats."""
        candidates = self.proposal.sample(target.language_model, batch, generator=generator)
        energies = target.energies(candidates)
        best = energies.sort(dim=-1, stable=True)
        kept = picked(candidates, best.indices[..., : self.samples])
        return TargetDraws(
            kept,
            {
                "best_energy": best.values[..., 0],
                "ruled_out": ruled_out(-best.values[..., : self.samples]),
            },
        )
