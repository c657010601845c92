"""Energies over listed completions, by hand and by formula."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ebmlm.distribution import Categorical, TokenDistribution
from ebmlm.energies import Energy, FeatureMatchingEnergy, FunctionEnergy, KLEnergy
from ebmlm.errors import UserError
from ebmlm.features import HiddenStateFeatures
from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import Rollouts, Scores, SequenceBatch
from ebmlm.testing import (
    Completions,
    TabularEnergy,
    exact_divergence,
    exact_energies,
    exact_gibbs,
    expected_energy,
    list_completions,
    reverse_kl,
)
from ebmlm.testing.strategies import tensors
from tests.exact import ANCHOR, Toy, expectation
from tests.helpers import made_rollouts, seeded

UNARY = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
PAIRWISE = torch.tensor(
    [[10.0, 1, 2, 3], [1, 20, 4, 5], [2, 4, 30, 6], [3, 5, 6, 40]], dtype=torch.float64
)


def rollouts(completions: list[list[list[int]]], mask: list[list[list[int]]]) -> Rollouts:
    """Completions (anchor, sample, token) of one sequence, the second anchor invalid."""
    made = made_rollouts(
        SequenceBatch.of(torch.zeros(1, 6, dtype=torch.long)),
        torch.tensor([[2, 3]]),
        torch.tensor([completions]),
        completion_mask=torch.tensor([mask]).bool(),
    )
    return dataclasses.replace(made, anchor_mask=torch.tensor([[True, False]]))


# 01, 1 and then the end, 11; and at an invalid anchor 11 three times.
DRAWN = rollouts([[[0, 1], [1, 1], [1, 1]], [[1, 1]] * 3], [[[1, 1], [1, 0], [1, 1]], [[1, 1]] * 3])
NO_SCORES = Scores(torch.zeros(1, 2, 3, 2))


def test_a_table_is_looked_up_by_hand() -> None:
    energy = TabularEnergy(2, UNARY)
    assert energy.minimum_samples == 1
    assert energy.bias is None
    assert energy.numbers(DRAWN).tolist() == [[[1, 2, 3], [0, 0, 0]]]
    terms = energy(DRAWN, NO_SCORES)
    assert terms.unary[0, 0].tolist() == [2, 3, 4]
    assert terms.pairwise is None


def test_pairs_are_looked_up_by_hand() -> None:
    energy = TabularEnergy(2, UNARY, PAIRWISE)
    assert energy.minimum_samples == 2
    terms = energy(DRAWN, NO_SCORES)
    assert terms.unary[0, 0].tolist() == [2, 3, 4]
    assert terms.pairwise is not None
    assert terms.pairwise[0, 0].tolist() == [[0, 4, 5], [4, 0, 6], [5, 6, 0]]
    # The table's diagonal is for two samples that say the same, not for one with itself.
    twins = rollouts([[[1, 0], [1, 0]], [[0, 0]] * 2], [[[1, 1]] * 2] * 2)
    terms = energy(twins, NO_SCORES)
    assert terms.pairwise is not None
    assert terms.pairwise[0, 0].tolist() == [[0, 30], [30, 0]]


def test_a_table_of_another_size_is_refused() -> None:
    longer = rollouts([[[0, 1, 1]]] * 2, [[[1, 1, 1]]] * 2)
    message = "rollouts of 3 tokens and a table of 4 energies: 2 tokens need 8"
    with pytest.raises(UserError, match=message):
        TabularEnergy(2, UNARY)(longer, NO_SCORES)


def test_pairs_that_are_not_symmetric_are_refused() -> None:
    wrong = PAIRWISE.clone()
    wrong[0, 1] += 1
    with pytest.raises(UserError, match=r"pairwise is not symmetric: make it \(w \+ w\.mT\) / 2"):
        TabularEnergy(2, UNARY, wrong)
    TabularEnergy(2, UNARY, (wrong + wrong.mT) / 2)


def test_pairs_of_another_size_are_refused() -> None:
    with pytest.raises(UserError, match=r"shape \(3, 3\): 4 unary energies need \(4, 4\)"):
        TabularEnergy(2, UNARY, torch.eye(3, dtype=torch.float64))


def test_tokens_that_are_not_in_the_table_are_refused() -> None:
    """Else 02 would be read as 10. Where nothing counts, anything may stand."""
    energy = TabularEnergy(2, UNARY)
    text = [[[0, 2], [1, 1]], [[5, 5]] * 2]
    with pytest.raises(UserError, match="token 2 and a table of 2 tokens"):
        energy(rollouts(text, [[[1, 1]] * 2] * 2), NO_SCORES)
    assert energy.numbers(rollouts(text, [[[1, 0], [1, 1]]] * 2)).tolist() == [[[0, 3], [0, 0]]]


def test_expected_energy_by_hand() -> None:
    probabilities = torch.tensor([0.25, 0.75], dtype=torch.float64)
    unary = torch.tensor([1.0, 3.0], dtype=torch.float64)
    pairwise = torch.tensor([[2.0, 4.0], [4.0, -8.0]], dtype=torch.float64)
    assert expected_energy(probabilities, unary).item() == 2.5
    # 1/2 (1/16 2 + 2 3/16 4 + 9/16 (-8))
    assert expected_energy(probabilities, unary, pairwise).item() == 2.5 - 1.4375


@given(tensors((5,)), tensors((5,)), tensors((5, 5)))
def test_its_derivative_is_the_first_variation(
    probabilities: Tensor, unary: Tensor, half: Tensor
) -> None:
    """``u(y) + sum_z p(z) w(y, z)``: what a sample's energy is, given itself."""
    pairwise = half + half.mT
    leaf = probabilities.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(expected_energy(leaf, unary, pairwise), leaf)
    torch.testing.assert_close(gradient, unary + pairwise @ probabilities, atol=1e-12, rtol=0)


TOYS = {
    "plain": Toy(vocabulary=3),
    "end token": Toy(vocabulary=3, ends=(1,)),
    "cold": Toy(vocabulary=3, distribution=Categorical(0.6)),
    "long": Toy(horizon=3, ends=(0,)),
}


def listed(toy: Toy, model: LanguageModel | None = None) -> Completions:
    batch = toy.groups(1).batch.rows(0, 1)
    model = toy.model if model is None else model
    return list_completions(model, batch, ANCHOR, toy.distribution, toy.horizon)


def logs(toy: Toy) -> tuple[Tensor, Tensor]:
    """Token log-probabilities (completion, token) under the policy and the reference."""
    return (
        listed(toy).token_log_probs.detach(),
        listed(toy, toy.reference).token_log_probs.detach(),
    )


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("name", ["plain", "end token"])
def test_groups_of_samples_have_the_expected_energy(name: str, pairs: bool) -> None:
    toy = TOYS[name]
    half = torch.randn(9, 9, dtype=torch.float64, generator=seeded(3))
    unary, pairwise = half[0], half + half.mT if pairs else None
    energy = TabularEnergy(3, unary, pairwise)
    found = expectation(toy, 3, lambda drawn, scores: energy(drawn, scores).functional()[:, 0])
    number = energy.numbers(listed(toy).rollouts)[0, 0]
    probabilities = listed(toy).log_probs().detach().exp()
    between = None if pairwise is None else pairwise[number][:, number]
    expected = expected_energy(probabilities, unary[number], between)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


def _first(drawn: Rollouts) -> Tensor:
    return drawn.completions[..., 0].double() - 2.0 * drawn.token_mask().sum(-1)


@pytest.mark.parametrize("name", TOYS)
def test_energies_of_a_function(name: str) -> None:
    toy = TOYS[name]
    unary, pairwise = exact_energies(FunctionEnergy(_first), listed(toy), logs(toy)[0])
    assert pairwise is None
    expected = [
        tokens[0] - 2 * sum(mask)
        for tokens, mask in zip(listed(toy).tokens.tolist(), listed(toy).mask.tolist(), strict=True)
    ]
    assert unary.tolist() == expected


@pytest.mark.parametrize("name", TOYS)
def test_energies_of_a_divergence(name: str) -> None:
    policy, reference = logs(TOYS[name])
    unary, pairwise = exact_energies(KLEnergy(), listed(TOYS[name]), policy, reference)
    assert pairwise is None
    torch.testing.assert_close(unary, policy.sum(-1) - reference.sum(-1), atol=1e-12, rtol=0)
    with pytest.raises(ValueError, match="needs scores of a reference"):
        exact_energies(KLEnergy(), listed(TOYS[name]), policy)


@pytest.mark.parametrize("name", TOYS)
def test_energies_of_feature_matching(name: str) -> None:
    toy = TOYS[name]
    policy, reference = logs(toy)
    features = HiddenStateFeatures(toy.model.frozen())
    energy = FeatureMatchingEnergy(features, 0.7, 0.4) + 0.3 * KLEnergy()
    unary, pairwise = exact_energies(energy, listed(toy), policy, reference)
    made = features(listed(toy).rollouts)
    assert made.references is not None
    phi, real = made.rollouts[0, 0], made.references[0, 0]
    expected = -2 * 0.7 * phi @ real + 0.3 * (policy - reference).sum(-1)
    torch.testing.assert_close(unary, expected, atol=1e-12, rtol=0)
    assert pairwise is not None
    # Of two samples that say the same, too.
    torch.testing.assert_close(pairwise, 2 * 0.4 * phi @ phi.mT, atol=1e-12, rtol=0)


def test_energies_of_a_table_are_the_table() -> None:
    toy = TOYS["plain"]
    half = torch.randn(9, 9, dtype=torch.float64, generator=seeded(3))
    unary, pairwise = exact_energies(
        TabularEnergy(3, half[0], half + half.mT), listed(toy), logs(toy)[0]
    )
    assert torch.equal(unary, half[0])
    assert pairwise is not None
    assert torch.equal(pairwise, half + half.mT)


TRUNCATED = [Categorical(top_k=2), Categorical(0.8, top_p=0.7)]


@pytest.mark.parametrize("distribution", TRUNCATED)
def test_energies_of_what_truncation_leaves(distribution: TokenDistribution) -> None:
    """Where a completion cannot be drawn its log ratio means nothing: ask for the others."""
    toy = Toy(vocabulary=3, distribution=distribution)
    possible = listed(toy).possible()
    policy = possible.token_log_probs.detach()
    unary, _ = exact_energies(KLEnergy(), possible, policy, policy - 0.5)
    assert 1 < len(unary) < 9
    torch.testing.assert_close(unary, torch.ones_like(unary), atol=1e-12, rtol=0)


ENERGIES: dict[str, Energy] = {
    "function": FunctionEnergy(_first),
    "alignment": FeatureMatchingEnergy(HiddenStateFeatures(Toy(3).model.frozen()), diversity=0.0),
    "table": TabularEnergy(3, torch.randn(9, dtype=torch.float64, generator=seeded(4))),
}


@pytest.mark.parametrize("temperature", [1.0, 0.4])
@pytest.mark.parametrize("energy", ENERGIES)
@pytest.mark.parametrize("name", ["plain", "end token"])
def test_an_energy_defines_a_gibbs_distribution(name: str, energy: str, temperature: float) -> None:
    """``E_p[E] + T KL(p || p_ref) = T KL(p || gibbs) - T log Z``: least, and ``-T log Z``, there.

    The policy's gradient of it vanishes at the Gibbs distribution.
    """
    toy = TOYS[name]
    policy = listed(toy).log_probs().detach()
    reference = listed(toy, toy.reference).log_probs().detach()
    unary, pairwise = exact_energies(ENERGIES[energy], listed(toy), logs(toy)[0])
    assert pairwise is None
    assert unary.std() > 0.1
    gibbs, log_partition = exact_gibbs(reference, unary, temperature)

    def free(log_probs: Tensor) -> Tensor:
        divergence = exact_divergence(log_probs, reference, reverse_kl)
        return expected_energy(log_probs.exp(), unary) + temperature * divergence

    away = temperature * exact_divergence(policy, gibbs, reverse_kl)
    assert away > 1e-3
    torch.testing.assert_close(free(policy), away - temperature * log_partition, atol=1e-12, rtol=0)
    torch.testing.assert_close(free(gibbs), -temperature * log_partition, atol=1e-12, rtol=0)
    logits = gibbs.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(free(logits.log_softmax(0)), logits)
    assert gradient.abs().max() < 1e-12


@pytest.mark.parametrize("name", TOYS)
@given(samples=st.integers(2, 3))
def test_exact_energies_have_the_expectation_of_groups(name: str, samples: int) -> None:
    toy = TOYS[name]
    energy = FeatureMatchingEnergy(HiddenStateFeatures(toy.model.frozen())) + 0.3 * KLEnergy()
    terms = exact_energies(energy, listed(toy), *logs(toy))
    expected = expected_energy(listed(toy).log_probs().detach().exp(), *terms)
    found = expectation(
        toy, samples, lambda drawn, scores: energy(drawn, scores).functional()[:, 0]
    )
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)
