"""Kullback-Leibler energies and estimators, by enumeration."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from ebmlm.distribution import Categorical
from ebmlm.energies import KLEnergy, k1, k2, k3
from ebmlm.rollouts import Scores
from tests.exact import Toy, expectation

TOYS = {
    "plain": Toy(vocabulary=3),
    "end token": Toy(vocabulary=3, ends=(1,)),
    "cold": Toy(vocabulary=3, distribution=Categorical(0.6)),
}


def _logs(toy: Toy) -> tuple[Tensor, Tensor]:
    """Log-probabilities (completion,) under the policy and the reference."""
    return (
        toy.log_probabilities(toy.model).detach(),
        toy.log_probabilities(toy.reference).detach(),
    )


@pytest.mark.parametrize("name", TOYS)
def test_expectations_by_enumeration(name: str) -> None:
    log_p, log_q = _logs(TOYS[name])
    p, ratio = log_p.exp(), log_p - log_q
    divergence = float((p * ratio).sum())
    assert divergence > 0.1
    assert float((p * k1(ratio)).sum()) == pytest.approx(divergence, abs=1e-12)
    assert float((p * k3(ratio)).sum()) == pytest.approx(divergence, abs=1e-12)
    half_square = float((p * ratio * ratio).sum()) / 2
    assert float((p * k2(ratio)).sum()) == pytest.approx(half_square, abs=1e-12)
    assert abs(half_square - divergence) > 1e-2
    assert (k1(ratio) < 0).any()
    assert (k2(ratio) >= 0).all()
    assert (k3(ratio) >= 0).all()


def test_near_zero_they_agree() -> None:
    ratio = torch.tensor([1e-9, -1e-9, 0.0], dtype=torch.float64)
    torch.testing.assert_close(k3(ratio), k2(ratio), atol=1e-24, rtol=1e-6)


@pytest.mark.parametrize("name", TOYS)
@pytest.mark.parametrize("samples", [1, 2])
def test_the_energy_and_what_it_reports_average_to_the_divergence(name: str, samples: int) -> None:
    """Per token k3, summed over the rollout: the chain rule."""
    toy = TOYS[name]
    log_p, log_q = _logs(toy)
    divergence = float((log_p.exp() * (log_p - log_q)).sum())
    energy = KLEnergy()
    mean = expectation(toy, samples, lambda drawn, scores: energy(drawn, scores).functional()[:, 0])
    assert float(mean) == pytest.approx(divergence, abs=1e-10)
    reported = expectation(
        toy, samples, lambda drawn, scores: energy(drawn, scores).metrics["kl"][:, 0]
    )
    assert float(reported) == pytest.approx(divergence, abs=1e-10)


def test_only_tokens_that_count_are_added_up() -> None:
    groups = Toy(vocabulary=3, ends=(1,)).groups(2)
    shape = groups.completions.shape
    policy, reference = torch.full(shape, -1.0), torch.full(shape, -1.5)
    policy[~groups.token_mask()] = float("nan")
    terms = KLEnergy()(groups, Scores(policy, reference))
    torch.testing.assert_close(terms.unary, 0.5 * groups.completion_mask.sum(-1).float())
    assert terms.pairwise is None
    masked = dataclasses.replace(groups, anchor_mask=torch.zeros_like(groups.anchor_mask))
    assert (KLEnergy()(masked, Scores(policy, reference)).unary == 0).all()


def test_a_reference_is_needed() -> None:
    groups = Toy().groups(1)
    assert KLEnergy().needs_reference
    assert KLEnergy().bias is None
    with pytest.raises(ValueError, match="needs scores of a reference model"):
        KLEnergy()(groups, Scores(torch.zeros(groups.completions.shape)))
