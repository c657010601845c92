"""Group-normalised advantages by hand-worked numbers."""

from __future__ import annotations

import pytest
import torch

from ebmlm.energies import EnergyTerms
from ebmlm.errors import UserError
from ebmlm.estimators import GroupNorm, sequence_log_prob
from tests.estimators.test_base import rollouts_with


def test_by_hand() -> None:
    """Energies 1, 3, 8: mean 4, standard deviation sqrt((9 + 1 + 16) / 2)."""
    rollouts = rollouts_with([[[1, 1], [1, 1], [1, 0]]], [True])
    terms = EnergyTerms(torch.tensor([[[1.0, 3.0, 8.0]]], dtype=torch.float64))
    deviation = 13**0.5
    for estimator, spread in (
        (GroupNorm(), deviation + 1e-4),
        (GroupNorm(epsilon=2.0), deviation + 2),
    ):
        log_probs = torch.zeros(1, 1, 3, 2, dtype=torch.float64, requires_grad=True)
        estimator(log_probs, terms, rollouts).loss.backward()
        assert log_probs.grad is not None
        first, second, third = (value / spread / 3 for value in (-3, -1, 4))
        expected = [[first / 2] * 2, [second / 2] * 2, [third, 0]]
        torch.testing.assert_close(log_probs.grad[0, 0], torch.tensor(expected).double())
    log_probs = torch.zeros(1, 1, 3, 2, dtype=torch.float64, requires_grad=True)
    GroupNorm(sequence_log_prob)(log_probs, terms, rollouts).loss.backward()
    assert log_probs.grad is not None
    assert log_probs.grad[0, 0, 0, 0] == pytest.approx(-1 / (deviation + 1e-4))


def test_pairs_count_as_energy() -> None:
    rollouts = rollouts_with([[[1], [1], [1]]], [True])
    pairwise = torch.tensor([[[[0.0, 1.0, 2.0], [1.0, 0.0, 4.0], [2.0, 4.0, 0.0]]]])
    together = EnergyTerms(torch.tensor([[[1.0, 3.0, 8.0]]]), pairwise)
    alone = EnergyTerms(together.per_sample())
    losses = [
        GroupNorm()(torch.full((1, 1, 3, 1), -0.7), terms, rollouts).metrics["advantage_square"]
        for terms in (together, alone)
    ]
    assert losses[0] == losses[1]


def test_equal_energies_are_finite() -> None:
    rollouts = rollouts_with([[[1], [1]]], [True])
    log_probs = torch.zeros(1, 1, 2, 1, requires_grad=True)
    GroupNorm()(log_probs, EnergyTerms(torch.ones(1, 1, 2)), rollouts).loss.backward()
    assert log_probs.grad is not None
    assert (log_probs.grad == 0).all()


@pytest.mark.parametrize("epsilon", [0.0, -1.0, float("nan")])
def test_epsilon_out_of_range(epsilon: float) -> None:
    with pytest.raises(UserError, match=f"epsilon is {epsilon}"):
        GroupNorm(epsilon=epsilon)


@pytest.mark.parametrize("estimator", [GroupNorm(), GroupNorm(sequence_log_prob)])
def test_it_says_that_it_is_biased(estimator: GroupNorm) -> None:
    assert estimator.bias == "mean and deviation contain the sample that they are applied to"


def test_one_sample_is_refused() -> None:
    with pytest.raises(UserError, match=r"1 sample per anchor.*at least 2"):
        GroupNorm()(
            torch.zeros(1, 1, 1, 1),
            EnergyTerms(torch.ones(1, 1, 1)),
            rollouts_with([[[1]]], [True]),
        )
    assert GroupNorm.minimum_samples == 2
