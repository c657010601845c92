"""Rewards whose centred values are our advantages; proven by listing every group."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ebmlm import (
    RLOO,
    Energy,
    EnergyTerms,
    Estimate,
    Estimator,
    Rollouts,
    SequenceBatch,
    UserError,
)
from ebmlm.estimators import leave_one_out_baseline, policy_gradient, sequence_log_prob
from ebmlm.integrations import ForGRPO, ForRLOO
from ebmlm.testing import TabularEnergy, TabularLanguageModel, check_estimator, estimator_moments
from ebmlm.testing.bugs.estimators import GroupMeanBaseline, NaiveLeaveOneOut
from tests.helpers import seeded


def leave_one_out(rewards: Tensor) -> Tensor:
    """Advantages of RLOOTrainer."""
    others = (rewards.sum(-1, keepdim=True) - rewards) / (rewards.shape[-1] - 1)
    return rewards - others


def centred(rewards: Tensor) -> Tensor:
    """Advantages of GRPOTrainer without scaling."""
    return rewards - rewards.mean(-1, keepdim=True)


class Corrected(Estimator):
    """What RLOOTrainer makes of corrected rewards; GRPOTrainer makes the same of its own."""

    minimum_samples = 3

    def __call__(self, log_probs: Tensor, terms: EnergyTerms, rollouts: Rollouts) -> Estimate:
        weights = -leave_one_out(ForRLOO()(terms))
        return policy_gradient(log_probs, weights, rollouts, sequence_log_prob)


def random_terms(samples: int, pairs: bool = True) -> EnergyTerms:
    unary = torch.randn(2, 3, samples, generator=seeded(samples), dtype=torch.float64)
    half = torch.randn(2, 3, samples, samples, generator=seeded(9), dtype=torch.float64)
    others = ~torch.eye(samples, dtype=torch.bool)
    return EnergyTerms(unary, torch.where(others, half + half.mT, 0) if pairs else None)


def test_every_law_of_estimators_holds() -> None:
    check_estimator(Corrected(), examples=25)


@pytest.mark.parametrize("samples", [2, 3, 4, 7])
@pytest.mark.parametrize("pairs", [True, False])
def test_trainers_advantages_are_ours(samples: int, pairs: bool) -> None:
    terms = random_terms(samples, pairs)
    ours = leave_one_out_baseline(terms) - terms.per_sample()
    if pairs and samples == 2:
        # Both trainers' advantages add up to zero in each group; these do not.
        assert (ours.sum(-1).abs() > 1e-3).all()
        for correction in (ForRLOO(), ForGRPO()):
            with pytest.raises(UserError, match="num_generations is 2"):
                correction(terms)
        return
    torch.testing.assert_close(ours.sum(-1), torch.zeros(2, 3, dtype=torch.float64))
    torch.testing.assert_close(leave_one_out(ForRLOO()(terms)), ours)
    torch.testing.assert_close(centred(ForGRPO()(terms)), ours)


def test_a_single_completion_is_refused() -> None:
    with pytest.raises(UserError, match="1 sample per prompt"):
        ForRLOO()(random_terms(1, pairs=False))


@pytest.mark.parametrize("samples", [2, 3, 4])
def test_uncorrected_rewards_shrink_the_pairs_and_nothing_else(samples: int) -> None:
    """The expected gradient is the exact one of pairs times (N-2)/(N-1)."""
    model = TabularLanguageModel(3, 2, generator=seeded(0))
    batch = SequenceBatch.of(torch.tensor([[0, 2, 1]]))
    unary = torch.randn(3, generator=seeded(1), dtype=torch.float64)
    half = torch.randn(3, 3, generator=seeded(2), dtype=torch.float64)

    def mean(estimator: Estimator, share: float) -> Tensor:
        energy: Energy = TabularEnergy(3, unary, share * (half + half.mT))
        return estimator_moments(
            model,
            model.logits,
            batch,
            anchor=3,
            energy=energy,
            estimator=estimator,
            samples=samples,
            horizon=1,
        ).mean

    shrunk = mean(RLOO(), (samples - 2) / (samples - 1))
    exact = mean(RLOO(), 1.0)
    torch.testing.assert_close(mean(NaiveLeaveOneOut(), 1.0), shrunk, atol=1e-10, rtol=0)
    share = (samples - 1) / samples
    torch.testing.assert_close(mean(GroupMeanBaseline(), 1.0), share * shrunk, atol=1e-10, rtol=0)
    assert float((shrunk - exact).norm() / exact.norm()) > 0.1
