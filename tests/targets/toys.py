"""Targets whose every completion is listed."""

from __future__ import annotations

import torch
from torch import Tensor

from ebmlm.distribution import Categorical
from ebmlm.energies import Energy, EnergyTerms
from ebmlm.rollouts import Rollouts, Scores
from ebmlm.targets import EnergyModel
from ebmlm.testing import TabularEnergy, exact_gibbs
from tests.exact import Toy
from tests.helpers import seeded

TOYS = {
    "plain": Toy(),
    "three tokens": Toy(vocabulary=3),
    "end token": Toy(vocabulary=3, ends=(1,)),
    "cold": Toy(vocabulary=3, distribution=Categorical(0.6)),
}


def table(toy: Toy, scale: float = 1.0, forbidden: tuple[int, ...] = ()) -> TabularEnergy:
    """Random energies of the completions; some are infinite."""
    count = toy.vocabulary**toy.horizon
    unary = scale * torch.randn(count, generator=seeded(11), dtype=torch.float64)
    unary[list(forbidden)] = torch.inf
    return TabularEnergy(toy.vocabulary, unary)


def target(toy: Toy, temperature: float = 0.8, **options: object) -> EnergyModel:
    """Over the toy's reference, which is drawn from as the toy's policy is."""
    energy = table(toy, **options)  # type: ignore[arg-type]
    return EnergyModel(toy.reference, energy, temperature, toy.distribution)


def exact(toy: Toy, of: EnergyModel) -> tuple[Tensor, Tensor]:
    """Log-probabilities (completion,) of the target, and log Z, by the definition."""
    groups = toy.groups(1)
    energies = of.energy(groups, Scores(groups.log_probs)).unary[:, 0, 0]
    return exact_gibbs(toy.log_probabilities(toy.reference).detach(), energies, of.temperature)


class Pairs(Energy):
    """Has pairwise terms and does not say so."""

    def __call__(self, rollouts: Rollouts, scores: Scores) -> EnergyTerms:
        shape = rollouts.completions.shape[:3]
        return EnergyTerms(torch.zeros(shape), torch.zeros(*shape, shape[2]))
