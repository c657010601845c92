"""Samplers from a target against the enumerated Gibbs distribution."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from ebmlm.distribution import Categorical, TokenDistribution
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.samplers import AutoregressiveSampler, GivenAnchors, Sampler
from ebmlm.targets import EnergyModel
from ebmlm.targets.samplers import (
    BestOfN,
    ImportanceResampling,
    IndependentProposal,
    MetropolisHastings,
    Proposal,
    QuasiRejection,
    SequentialMonteCarlo,
    SuffixProposal,
    TargetSampler,
)
from ebmlm.testing.multinomial import multinomial_p_bound
from tests.exact import ANCHOR, TEXT, Toy
from tests.helpers import seeded
from tests.targets.toys import exact, target

# A right sampler is refused with a probability under 1e-6 by each test.
FALSE_ALARM = 1e-6
ROWS = 800
TOYS = {
    "plain": Toy(horizon=3),
    "end token": Toy(vocabulary=3, ends=(1,)),
    "cold": Toy(vocabulary=3, distribution=Categorical(0.6)),
}


def _batch(rows: int = ROWS) -> SequenceBatch:
    anchors = torch.full((rows, 1), ANCHOR)
    return SequenceBatch.of(torch.tensor([TEXT]).expand(rows, -1), anchors=anchors)


def _proposal(toy: Toy, samples: int, distribution: TokenDistribution | None = None) -> Sampler:
    return AutoregressiveSampler(
        toy.horizon, samples, distribution or toy.distribution, GivenAnchors()
    )


def _numbers(toy: Toy, rollouts: Rollouts) -> Tensor:
    """Number of each drawn completion in the list of all."""
    listed = toy.groups(1)
    tokens = torch.where(listed.completion_mask, listed.completions, 0)[:, 0, 0]
    masks = listed.completion_mask[:, 0, 0]
    drawn = torch.where(rollouts.completion_mask, rollouts.completions, 0).flatten(0, 2)
    there = rollouts.completion_mask.flatten(0, 2)
    same = (drawn.unsqueeze(1) == tokens).all(-1) & (there.unsqueeze(1) == masks).all(-1)
    assert same.any(-1).all()
    return same.long().argmax(-1)


def _chance(toy: Toy, model: EnergyModel, rollouts: Rollouts) -> float:
    probabilities = exact(toy, model)[0].exp()
    numbers = _numbers(toy, rollouts)
    return multinomial_p_bound(torch.bincount(numbers, minlength=len(probabilities)), probabilities)


@pytest.mark.parametrize("forbidden", [(), (0, 2)])
@pytest.mark.parametrize("name", TOYS)
def test_rejection_with_a_bound_that_holds_is_exact(name: str, forbidden: tuple[int, ...]) -> None:
    toy = TOYS[name]
    model = target(toy, forbidden=forbidden)
    groups = toy.groups(1)
    recorded = toy.reference.score(groups).completions
    largest = float(model.log_weights(dataclasses.replace(groups, log_probs=recorded)).max())
    sampler = QuasiRejection(_proposal(toy, 8), largest + 1e-9, samples=1, rounds=40)
    draws = sampler.draw(model, _batch(), generator=seeded(1))
    assert not draws.diagnostics["missing"].any()
    assert _chance(toy, model, draws.rollouts) > FALSE_ALARM
    assert draws.diagnostics["total_variation"].max() == 0
    _, log_partition = exact(toy, model)
    expected = float((log_partition - largest).exp())
    assert float(draws.diagnostics["acceptance"].mean()) == pytest.approx(expected, abs=0.05)


def test_quasi_rejection_follows_the_cut_weights() -> None:
    toy = TOYS["plain"]
    model = target(toy, scale=2.0)
    log_probs, log_partition = exact(toy, model)
    proposed = toy.log_probabilities(toy.reference).detach()
    weights = log_probs + log_partition - proposed
    log_beta = float(weights.quantile(0.6))
    cut = proposed + weights.clamp(max=log_beta)
    expected = cut.softmax(0)
    sampler = QuasiRejection(_proposal(toy, 16), log_beta, rounds=60)
    draws = sampler.draw(model, _batch(), generator=seeded(2))
    assert not draws.diagnostics["missing"].any()
    counts = torch.bincount(_numbers(toy, draws.rollouts), minlength=len(expected))
    assert multinomial_p_bound(counts, expected) > FALSE_ALARM
    truth = float((expected - log_probs.exp()).abs().sum() / 2)
    assert truth > 0.05
    many = QuasiRejection(_proposal(toy, 2000), log_beta, rounds=1)
    told = many.draw(model, _batch(10), generator=seeded(3)).diagnostics["total_variation"]
    assert float(told.mean()) == pytest.approx(truth, rel=0.1)


@pytest.mark.parametrize("proposal", [IndependentProposal(), SuffixProposal()])
@pytest.mark.parametrize("tempered", [False, True])
@pytest.mark.parametrize("name", TOYS)
def test_a_step_of_metropolis_hastings_leaves_the_target_as_it_is(
    name: str, tempered: bool, proposal: Proposal
) -> None:
    """Chains that start in the exact distribution, and whose every kind of move is proposed."""
    toy = TOYS[name]
    model = target(toy, scale=1.5)
    distribution = Categorical(1.4) if tempered else toy.distribution
    log_probs, _ = exact(toy, model)
    numbers = torch.multinomial(log_probs.exp(), ROWS, replacement=True, generator=seeded(4))
    listed = toy.groups(1)
    batch = _batch()
    rollouts = Rollouts.given(
        batch,
        torch.full((ROWS, 1), ANCHOR),
        torch.ones(ROWS, 1, dtype=torch.bool),
        listed.completions[numbers],
        distribution,
        listed.completion_mask[numbers],
    )
    recorded = toy.reference.score(rollouts).completions
    rollouts = dataclasses.replace(rollouts, log_probs=recorded)
    weights = model.log_weights(rollouts)
    chain = MetropolisHastings(_proposal(toy, 1, distribution), proposal, steps=1)
    moved, after, moves = chain.step(model, rollouts, weights, generator=seeded(5))
    assert _chance(toy, model, moved) > FALSE_ALARM
    assert 0.2 < float(moves.double().mean()) < 1
    torch.testing.assert_close(after, model.log_weights(moved), atol=1e-9, rtol=0)


@pytest.mark.parametrize("proposal", [IndependentProposal(), SuffixProposal()])
def test_chains_reach_the_target(proposal: Proposal) -> None:
    toy = TOYS["end token"]
    model = target(toy, forbidden=(0,))
    chain = MetropolisHastings(_proposal(toy, 2), proposal, steps=40)
    draws = chain.draw(model, _batch(600), generator=seeded(6))
    assert _chance(toy, model, draws.rollouts) > FALSE_ALARM
    assert (draws.diagnostics["moved"] > 0).all()
    assert float(draws.diagnostics["r_hat"].median()) < 1.2


@pytest.mark.parametrize("name", ["importance", "smc"])
def test_with_many_particles_the_target_is_reached(name: str) -> None:
    """A bias of 1/100 is far less than what 200 draws can tell."""
    toy = TOYS["plain"]
    proposal = _proposal(toy, 100)
    model = target(toy, scale=1.5)
    sampler: TargetSampler = (
        ImportanceResampling(proposal)
        if name == "importance"
        else SequentialMonteCarlo(proposal, block=1, twist=_known, threshold=1.0)
    )
    draws = sampler.draw(model, _batch(200), generator=seeded(7))
    assert _chance(toy, model, draws.rollouts) > FALSE_ALARM


def _known(model: EnergyModel, rollouts: Rollouts) -> Tensor:
    """A twist of beginnings, of no particular truth: by what they say first."""
    first = rollouts.completions[..., 0].double()
    return 2.5 * first - 0.3 * rollouts.completion_mask.sum(-1)


@pytest.mark.parametrize("threshold", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("twisted", [False, True])
@pytest.mark.parametrize("name", TOYS)
def test_the_partition_function_of_smc_is_unbiased(
    name: str, twisted: bool, threshold: float
) -> None:
    """With three particles, over 800 runs, to 5 standard errors; under a tempered proposal."""
    toy = TOYS[name]
    model = target(toy)
    _, log_partition = exact(toy, model)
    sampler = SequentialMonteCarlo(
        _proposal(toy, 3, Categorical(1.3)),
        block=1,
        twist=_known if twisted else None,
        threshold=threshold,
    )
    draws = sampler.draw(model, _batch(800), generator=seeded(8))
    found = draws.diagnostics["log_partition"].exp()
    error = float(found.std()) / 800**0.5
    assert abs(float(found.mean() - log_partition.exp())) < 5 * error
    assert bool(draws.diagnostics["resamplings"].any()) == (twisted and threshold > 0)
    assert (draws.diagnostics["ancestors"] >= 1).all()


def test_best_of_n_takes_the_lowest_energy() -> None:
    toy = TOYS["plain"]
    model = target(toy)
    proposal = _proposal(toy, 6)
    candidates = proposal.sample(model.language_model, _batch(20), generator=seeded(9))
    draws = BestOfN(proposal, 2).draw(model, _batch(20), generator=seeded(9))
    energies = model.energies(candidates).sort(-1).values
    torch.testing.assert_close(model.energies(draws.rollouts), energies[..., :2])
    torch.testing.assert_close(draws.diagnostics["best_energy"], energies[..., 0])
