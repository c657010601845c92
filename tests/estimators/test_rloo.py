"""The leave-one-out baseline by hand and by loops."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ebmlm.energies import EnergyTerms
from ebmlm.errors import UserError
from ebmlm.estimators import RLOO, leave_one_out_baseline
from tests.estimators.test_base import rollouts_with
from tests.helpers import seeded


def _symmetric(*shape: int, seed: int = 0) -> Tensor:
    pairwise = torch.randn(*shape, shape[-1], generator=seeded(seed), dtype=torch.float64)
    pairwise = pairwise + pairwise.mT
    return pairwise * (1 - torch.eye(shape[-1], dtype=torch.float64))


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


@given(st.integers(2, 6), st.booleans(), st.integers(0, 100))
def test_equals_the_loop(samples: int, pairs: bool, seed: int) -> None:
    unary = torch.randn(2, 2, samples, generator=seeded(seed), dtype=torch.float64)
    pairwise = _symmetric(2, 2, samples, seed=seed + 1) if pairs else None
    baseline = leave_one_out_baseline(EnergyTerms(unary, pairwise))
    for index in torch.cartesian_prod(torch.arange(2), torch.arange(2), torch.arange(samples)):
        row, anchor, j = index.tolist()
        total = 0.0
        for i in range(samples):
            if i != j:
                total += float(unary[row, anchor, i])
                for k in range(samples):
                    if pairwise is not None and k not in (i, j):
                        total += float(pairwise[row, anchor, i, k]) / (samples - 2)
        assert float(baseline[row, anchor, j]) == pytest.approx(total / (samples - 1), abs=1e-10)


@given(st.integers(2, 6), st.integers(0, 100))
def test_the_baseline_does_not_see_its_own_sample(samples: int, seed: int) -> None:
    unary = torch.randn(1, 1, samples, generator=seeded(seed), dtype=torch.float64)
    pairwise = _symmetric(1, 1, samples, seed=seed + 1)
    before = leave_one_out_baseline(EnergyTerms(unary, pairwise))
    for j in range(samples):
        changed, pairs = unary.clone(), pairwise.clone()
        changed[..., j] += 100
        pairs[..., j, :] += 7
        pairs[..., :, j] += 7
        pairs[..., j, j] = 0
        after = leave_one_out_baseline(EnergyTerms(changed, pairs))
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
