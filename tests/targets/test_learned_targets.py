"""A learned energy makes a target like any other: each sampler writes what it should."""

from __future__ import annotations

import pytest
import torch

from ebmlm.energies import LengthEnergy
from ebmlm.rollouts import Scores
from ebmlm.samplers import AutoregressiveSampler, GivenAnchors
from ebmlm.targets import EnergyModel
from ebmlm.targets.samplers import (
    BestOfN,
    ImportanceResampling,
    MetropolisHastings,
    QuasiRejection,
    SequentialMonteCarlo,
    TargetSampler,
    potential_so_far,
)
from ebmlm.testing.multinomial import multinomial_p_bound
from tests.exact import Toy
from tests.helpers import seeded
from tests.targets.learned import energies, learned, text_batch

TOY = Toy(vocabulary=3, ends=(1,))
FALSE_ALARM = 1e-6


def proposal(samples: int) -> AutoregressiveSampler:
    return AutoregressiveSampler(TOY.horizon, samples, anchors=GivenAnchors())


SAMPLERS: dict[str, TargetSampler] = {
    "importance": ImportanceResampling(proposal(100)),
    "quasi-rejection": QuasiRejection(proposal(16), log_beta=4.0, rounds=60),
    "Metropolis-Hastings": MetropolisHastings(proposal(1), steps=30),
    "SMC": SequentialMonteCarlo(proposal(100), twist=potential_so_far),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_draws_follow_the_learned_target(name: str) -> None:
    energy = learned(TOY, 1.0)
    target = EnergyModel(TOY.reference, energy + 0.3 * LengthEnergy(1))
    draws = SAMPLERS[name].draw(target, text_batch(TOY.listed()[[2] * 300]), generator=seeded(1))
    listed = TOY.groups(1)
    scores = TOY.log_probabilities(TOY.reference) - energies(TOY, energy)
    terms = LengthEnergy(1)(listed, Scores(listed.log_probs)).unary[:, 0, 0]
    scores = (scores - 0.3 * terms).detach()
    tokens = torch.where(draws.rollouts.completion_mask, draws.rollouts.completions, 0)
    numbers = (tokens.flatten(0, 2).unsqueeze(1) == TOY.listed()).all(-1).long().argmax(-1)
    counts = torch.bincount(numbers, minlength=len(scores))
    assert multinomial_p_bound(counts, scores.softmax(-1)) > FALSE_ALARM


def test_the_best_of_many_is_the_lowest() -> None:
    energy = learned(TOY, 1.0)
    target = EnergyModel(TOY.reference, energy)
    draws = BestOfN(proposal(4000)).draw(target, text_batch(TOY.listed()[:2]), generator=seeded(1))
    lowest = energies(TOY, energy).detach().min()
    torch.testing.assert_close(target.energies(draws.rollouts), lowest.expand(2, 1, 1))
