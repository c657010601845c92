"""What real text is compared with: chains and noise, against enumeration."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

import pytest
import torch
from torch import Tensor

from ebmlm.distribution import Categorical, Greedy, TokenDistribution
from ebmlm.errors import UserError
from ebmlm.estimators import PhaseDifference
from ebmlm.objectives import EnergyObjective
from ebmlm.rollouts import SequenceBatch
from ebmlm.samplers import BlockParallelSampler, GivenAnchors
from ebmlm.state import gather_state, restore_state
from ebmlm.targets import DataChains, Noise, PersistentChains
from ebmlm.targets.negatives import NegativeDraws
from ebmlm.targets.samplers import IndependentProposal, Proposal, SuffixProposal
from ebmlm.testing.multinomial import multinomial_p_bound
from tests.exact import Toy
from tests.helpers import seeded
from tests.targets.learned import energies, kernel, learned, text_batch

TOYS = {
    "plain": Toy(),
    "three tokens": Toy(vocabulary=3),
    "end token": Toy(vocabulary=3, ends=(1,)),
}
FALSE_ALARM = 1e-6

C = TypeVar("C", DataChains, PersistentChains)


def chains(toy: Toy, kind: type[C], steps: int, proposal: Proposal, samples: int = 1) -> C:
    sampler = BlockParallelSampler(GivenAnchors(), toy.horizon, samples, toy.distribution)
    return kind(sampler, toy.ends, proposal, steps)


def numbers(toy: Toy, draws: NegativeDraws) -> Tensor:
    listed, rollouts = toy.listed(), draws.rollouts
    tokens = torch.where(rollouts.completion_mask, rollouts.completions, 0).flatten(0, 2)
    same = (tokens.unsqueeze(1) == listed).all(-1)
    assert same.any(-1).all()
    return same.long().argmax(-1)


def chance(toy: Toy, draws: NegativeDraws, probabilities: Tensor) -> float:
    counts = torch.bincount(numbers(toy, draws), minlength=len(probabilities))
    return multinomial_p_bound(counts, probabilities)


@pytest.mark.parametrize("name", TOYS)
def test_chains_at_the_data_take_the_steps_that_they_should(name: str) -> None:
    toy = TOYS[name]
    energy = learned(toy, 1.0)
    one = text_batch(toy.listed()[[2] * 2000])
    negatives = chains(toy, DataChains, 2, IndependentProposal())
    draws = negatives(toy.reference, energy, one, seeded(2))
    expected = torch.linalg.matrix_power(kernel(toy, energy), 2)[2]
    assert chance(toy, draws, expected) > FALSE_ALARM
    assert 0 < float(draws.metrics["acceptance"].mean()) < 1


@pytest.mark.parametrize("name", TOYS)
def test_persistent_chains_come_to_the_models_distribution_and_stay(name: str) -> None:
    toy = TOYS[name]
    energy = learned(toy, 0.5)
    negatives = chains(toy, PersistentChains, 1, SuffixProposal(), samples=2)
    batch = text_batch(toy.listed()[[2] * 400])
    for step in range(25):
        draws = negatives(toy.reference, energy, batch, seeded(step))
        negatives.end_step(lambda tensor: [tensor])
    model = toy.log_probabilities(toy.reference).detach()
    stationary = (model - energies(toy, energy).detach()).softmax(-1)
    assert chance(toy, draws, stationary) > FALSE_ALARM


def test_persistent_chains_go_on_between_steps_alone_and_from_a_checkpoint() -> None:
    toy = TOYS["end token"]
    energy = learned(toy, 0.5)
    batch = text_batch(toy.listed()[[2, 5, 1, 0]])
    first = chains(toy, PersistentChains, 1, SuffixProposal(), samples=2)
    objective = EnergyObjective(first, energy, PhaseDifference())
    begun = first(toy.reference, energy, batch, seeded(0))
    same = first(toy.reference, energy, batch, seeded(0))
    assert torch.equal(begun.rollouts.completions, same.rollouts.completions)
    objective.end_step()
    second = EnergyObjective(
        chains(toy, PersistentChains, 1, SuffixProposal(), samples=2), energy, PhaseDifference()
    )
    restore_state(second, gather_state(objective))
    # In another order, after padding, and cut: the sequence's id is what counts.
    order = torch.tensor([3, 1, 0, 2])
    turned = batch.map(lambda tensor: tensor[order])
    left = first(toy.reference, energy, batch, seeded(1)).rollouts.map(lambda t: t[order])
    right = second.negatives(toy.reference, energy, turned, seeded(1)).rollouts
    assert torch.equal(left.completions, right.completions)
    assert torch.equal(left.log_probs, right.log_probs)
    assert torch.equal(left.completion_mask, right.completion_mask)
    other = chains(toy, PersistentChains, 1, SuffixProposal(), samples=3)
    with pytest.raises(UserError, match="chains of 2 samples"):
        restore_state(other, gather_state(first))


def test_tempered_noise_is_weighed_by_the_ratio() -> None:
    toy = TOYS["three tokens"]
    energy = learned(toy, 1.0)
    sampler = BlockParallelSampler(GivenAnchors(), toy.horizon, 5, Categorical(0.5))
    draws = Noise(sampler)(toy.reference, energy, text_batch(toy.listed()[:3]), seeded(0))
    plain = dataclasses.replace(draws.rollouts, distribution=Categorical())
    model = toy.reference.score(plain).completions.sum(-1)
    expected = model - draws.rollouts.log_probs.sum(-1)
    torch.testing.assert_close(draws.ratios, expected, atol=1e-10, rtol=0)
    assert draws.ratios.any()
    assert draws.real_ratio.any()


@pytest.mark.parametrize("distribution", [Greedy(), Categorical(top_p=0.9), Categorical(top_k=2)])
def test_noise_that_leaves_tokens_out_is_refused(distribution: TokenDistribution) -> None:
    sampler = BlockParallelSampler(distribution=distribution)
    with pytest.raises(UserError, match="can never be drawn"):
        Noise(sampler)


def test_the_real_continuation_is_cut_after_its_end_token() -> None:
    toy = TOYS["end token"]
    sampler = BlockParallelSampler(GivenAnchors(), 2, 2)
    text = SequenceBatch.of(torch.tensor([[0, 1, 0, 1, 2]]), anchors=torch.tensor([[3]]))
    draws = Noise(sampler, toy.ends)(toy.reference, learned(toy), text, seeded(0))
    assert draws.rollouts.reference_mask.tolist() == [[[True, False]]]
