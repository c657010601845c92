"""The unnormalised density of a target, term by term."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from ebmlm.distribution import Categorical, Greedy
from ebmlm.energies import ExpertEnergy, FeatureMatchingEnergy, FunctionEnergy
from ebmlm.errors import UserError
from ebmlm.features import HiddenStateFeatures
from ebmlm.targets import EnergyModel
from tests.exact import Toy
from tests.targets.toys import TOYS, Pairs, exact, table, target


@pytest.mark.parametrize("name", TOYS)
def test_density_is_that_of_the_gibbs_distribution_up_to_log_z(name: str) -> None:
    toy = TOYS[name]
    model = target(toy)
    log_probs, log_partition = exact(toy, model)
    density = model.log_density(toy.groups(1))[:, 0, 0]
    torch.testing.assert_close(density - log_partition, log_probs, atol=1e-12, rtol=0)


def test_what_was_drawn_otherwise_has_the_same_density_and_another_weight() -> None:
    toy = TOYS["three tokens"]
    model = target(toy)
    groups = toy.groups(1)
    other = dataclasses.replace(
        groups, distribution=Categorical(0.5), log_probs=torch.full_like(groups.log_probs, -0.7)
    )
    torch.testing.assert_close(model.log_density(other), model.log_density(groups))
    weights = model.log_weights(other)
    torch.testing.assert_close(weights, model.log_density(groups) + 1.4)


def test_a_broken_constraint_has_no_density() -> None:
    toy = TOYS["plain"]
    density = target(toy, forbidden=(1, 2)).log_density(toy.groups(1))[:, 0, 0]
    assert density.isfinite().tolist() == [True, False, False, True]


def test_a_product_of_experts_adds_their_log_probabilities() -> None:
    toy = TOYS["end token"]
    model = EnergyModel(toy.reference, 0.5 * ExpertEnergy(toy.model.frozen()))
    expected = toy.log_probabilities(toy.reference) + 0.5 * toy.log_probabilities(toy.model)
    found = model.log_density(toy.groups(1))[:, 0, 0]
    torch.testing.assert_close(found, expected.detach(), atol=1e-12, rtol=0)


def test_what_cannot_be_a_target_is_refused() -> None:
    toy = Toy()
    for temperature in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match=f"temperature is {temperature}"):
            EnergyModel(toy.reference, table(toy), temperature)
    matching = FeatureMatchingEnergy(HiddenStateFeatures(toy.reference))
    with pytest.raises(UserError, match="FeatureMatchingEnergy compares samples"):
        EnergyModel(toy.reference, matching)
    with pytest.raises(UserError, match="a greedy distribution"):
        EnergyModel(toy.reference, table(toy), distribution=Greedy())
    with pytest.raises(UserError, match="Pairs has pairwise terms"):
        EnergyModel(toy.reference, Pairs()).log_density(toy.groups(2))
    table_with_minus = table(toy)
    table_with_minus.unary[0] = -torch.inf
    with pytest.raises(UserError, match="gave the energy -inf"):
        EnergyModel(toy.reference, table_with_minus).log_density(toy.groups(1))
    endless = FunctionEnergy(lambda rollouts: torch.full(rollouts.completions.shape[:3], torch.nan))
    with pytest.raises(ValueError, match="not finite"):
        EnergyModel(toy.reference, endless).log_density(toy.groups(1))


@pytest.mark.parametrize("name", TOYS)
def test_weights_of_the_targets_own_draws_are_what_all_weights_are(name: str) -> None:
    """Where the language model cancels, and where the draws were tempered otherwise."""
    toy = TOYS[name]
    model = target(toy)
    groups = toy.groups(1)
    scored = model.language_model.score(groups).completions
    own = dataclasses.replace(groups, log_probs=scored)
    exactly = model.proposed_log_weights(own)
    torch.testing.assert_close(exactly, model.log_weights(own), atol=1e-12, rtol=0)
    assert torch.equal(exactly, -model.energies(own) / model.temperature)
    hot = dataclasses.replace(groups, distribution=Categorical(1.7))
    hot = dataclasses.replace(hot, log_probs=model.language_model.score(hot).completions)
    assert torch.equal(model.proposed_log_weights(hot), model.log_weights(hot))
