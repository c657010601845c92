"""The leave-one-out baseline by hand and by loops."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ebmlm.energies import EnergyTerms
from ebmlm.errors import UserError
from ebmlm.estimators import RLOO, leave_one_out_baseline, mean_token_log_prob
from ebmlm.testing.strategies import energy_terms
from tests.estimators.test_base import rollouts_with


def test_three_samples_by_hand() -> None:
    unary = torch.tensor([[[1.0, 2.0, 6.0]]])
    pairwise = torch.tensor([[[[0.0, 10.0, 20.0], [10.0, 0.0, 40.0], [20.0, 40.0, 0.0]]]])
    terms = EnergyTerms(unary, pairwise)
    assert terms.per_sample().tolist() == [[[1 + 15, 2 + 25, 6 + 30]]]
    # Without j the other two have their own energies and the one pair they make.
    assert leave_one_out_baseline(terms).tolist() == [[[4 + 40, 3.5 + 20, 1.5 + 10]]]


def test_two_samples_have_no_pair_without_j() -> None:
    terms = EnergyTerms(torch.tensor([[[1.0, 5.0]]]), torch.tensor([[[[0.0, 8.0], [8.0, 0.0]]]]))
    assert terms.per_sample().tolist() == [[[9.0, 13.0]]]
    assert leave_one_out_baseline(terms).tolist() == [[[5.0, 1.0]]]


terms_of = st.integers(2, 5).flatmap(lambda samples: energy_terms((2, 1, samples)))


@given(terms_of)
def test_equals_the_loop(terms: EnergyTerms) -> None:
    baseline, samples = leave_one_out_baseline(terms), terms.samples
    for row in range(2):
        for j in range(samples):
            total = 0.0
            for i in range(samples):
                if i != j:
                    total += float(terms.unary[row, 0, i])
                    for k in range(samples):
                        if terms.pairwise is not None and k not in (i, j):
                            total += float(terms.pairwise[row, 0, i, k]) / (samples - 2)
            assert float(baseline[row, 0, j]) == pytest.approx(total / (samples - 1), abs=1e-12)


@given(terms_of)
def test_the_baseline_does_not_see_its_own_sample(terms: EnergyTerms) -> None:
    before = leave_one_out_baseline(terms)
    for j in range(terms.samples):
        unary, pairs = terms.unary.clone(), None
        unary[..., j] += 100
        if terms.pairwise is not None:
            pairs = terms.pairwise.clone()
            pairs[..., j, :] += 7
            pairs[..., :, j] += 7
            pairs[..., j, j] = 0
        after = leave_one_out_baseline(EnergyTerms(unary, pairs))
        torch.testing.assert_close(after[..., j], before[..., j])


def test_one_sample_is_refused() -> None:
    terms = EnergyTerms(torch.ones(1, 1, 1))
    rollouts = rollouts_with([[[1, 1]]], [True])
    with pytest.raises(UserError, match=r"1 sample per anchor.*at least 2"):
        leave_one_out_baseline(terms)
    with pytest.raises(UserError, match=r"1 sample per anchor.*at least 2"):
        RLOO()(torch.zeros(1, 1, 1, 2), terms, rollouts)
    assert RLOO.minimum_samples == 2


def test_equal_energies_give_no_gradient() -> None:
    rollouts = rollouts_with([[[1, 1], [1, 1], [1, 1]]], [True])
    log_probs = torch.zeros(1, 1, 3, 2, requires_grad=True)
    pairwise = 3 * (torch.ones(1, 1, 3, 3) - torch.eye(3))
    estimate = RLOO()(log_probs, EnergyTerms(torch.full((1, 1, 3), 5.0), pairwise), rollouts)
    estimate.loss.backward()
    assert log_probs.grad is not None
    assert log_probs.grad.abs().max() < 1e-6


def test_only_the_credit_may_bias() -> None:
    assert RLOO().bias is None
    assert RLOO(mean_token_log_prob).bias == (
        "credit is mean_token_log_prob, not a rollout's whole log-probability"
    )
