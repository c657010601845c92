"""Credit, means over anchors, and the surrogate, by hand-worked numbers."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from ebmlm.energies import EnergyTerms
from ebmlm.estimators import (
    RLOO,
    Estimate,
    Estimator,
    GroupNorm,
    Reinforce,
    credit_bias,
    mean_over_anchors,
    mean_token_log_prob,
    policy_gradient,
    sequence_log_prob,
)
from ebmlm.rollouts import Rollouts, SequenceBatch
from tests.helpers import made_rollouts, seeded

EVERY = [Reinforce(), RLOO(), GroupNorm(), RLOO(mean_token_log_prob)]


def rollouts_with(mask: list[list[list[int]]], anchor_mask: list[bool]) -> Rollouts:
    """Rollouts of a batch of one whose completion mask (anchor, sample, token) is given."""
    completion_mask = torch.tensor([mask]).bool()
    anchors = torch.arange(1, len(anchor_mask) + 1).unsqueeze(0)
    made = made_rollouts(
        SequenceBatch.of(torch.zeros(1, 8, dtype=torch.long)),
        anchors,
        torch.zeros(completion_mask.shape, dtype=torch.long),
    )
    return dataclasses.replace(
        made, completion_mask=completion_mask, anchor_mask=torch.tensor([anchor_mask])
    )


def test_credit_by_hand() -> None:
    log_probs = torch.tensor([[[[-1.0, -2.0, float("nan")], [-4.0, -5.0, -6.0], [1.0, 1.0, 1.0]]]])
    mask = torch.tensor([[[[1, 1, 0], [1, 1, 1], [0, 0, 0]]]]).bool()
    assert sequence_log_prob(log_probs, mask).tolist() == [[[-3, -15, 0]]]
    assert mean_token_log_prob(log_probs, mask).tolist() == [[[-1.5, -5, 0]]]


def test_only_whole_log_probabilities_are_credit_without_bias() -> None:
    assert credit_bias(sequence_log_prob) is None
    for credit, name in (
        (mean_token_log_prob, "mean_token_log_prob"),
        (lambda log_probs, mask: log_probs[..., 0], "<lambda>"),
        (_FirstToken(), "_FirstToken"),
    ):
        assert credit_bias(credit) == f"credit is {name}, not a rollout's whole log-probability"


class _FirstToken:
    """A credit that is an object, and has no name of its own."""

    def __call__(self, log_probs: Tensor, mask: Tensor) -> Tensor:
        return log_probs[..., 0]


def test_an_estimator_that_declares_nothing_claims_exactness() -> None:
    class _Plain(Estimator):
        def __call__(self, log_probs: Tensor, terms: EnergyTerms, rollouts: Rollouts) -> Estimate:
            raise NotImplementedError

    assert _Plain().bias is None


def test_mean_over_anchors_by_hand() -> None:
    values = torch.tensor([[1.0, 5.0, float("inf")], [3.0, float("nan"), float("nan")]])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    assert mean_over_anchors(values, mask) == 3


def test_mean_over_no_anchor_is_zero_with_its_graph() -> None:
    values = torch.tensor([[1.0, 2.0]], requires_grad=True)
    mean = mean_over_anchors(values, torch.tensor([[False, False]]))
    assert mean == 0
    mean.backward()
    assert values.grad is not None
    assert values.grad.tolist() == [[0, 0]]


def test_surrogate_by_hand() -> None:
    """Two valid anchors of two samples: the mean of advantage times summed log-probability."""
    rollouts = rollouts_with(
        [[[1, 1], [1, 0]], [[1, 1], [1, 1]], [[1, 1], [1, 1]]], [True, False, True]
    )
    log_probs = torch.tensor(
        [[[[-1.0, -2.0], [-3.0, -9.0]], [[-7.0, -7.0]] * 2, [[-4.0, -5.0], [-6.0, -7.0]]]],
        requires_grad=True,
    )
    advantages = torch.tensor([[[2.0, -1.0], [100.0, 100.0], [0.5, 3.0]]], requires_grad=True)
    estimate = policy_gradient(log_probs, advantages, rollouts, sequence_log_prob)
    first, third = (2 * -3 + -1 * -3) / 2, (0.5 * -9 + 3 * -13) / 2
    assert estimate.loss.item() == pytest.approx((first + third) / 2)
    assert estimate.metrics["advantage_square"] == pytest.approx((5 / 2 + 9.25 / 2) / 2)
    estimate.loss.backward()
    assert advantages.grad is None
    assert log_probs.grad is not None
    assert log_probs.grad.tolist() == [
        [[[0.5, 0.5], [-0.25, 0]], [[0, 0], [0, 0]], [[0.125, 0.125], [0.75, 0.75]]]
    ]


@pytest.mark.parametrize("estimator", EVERY, ids=lambda one: type(one).__name__)
def test_invalid_anchors_and_dead_tokens_may_hold_anything(estimator: Estimator) -> None:
    rollouts = rollouts_with([[[1, 1], [1, 0]], [[1, 1], [1, 1]]], [True, False])
    unary = torch.randn(1, 2, 2, generator=seeded(0))
    pairwise = torch.randn(1, 2, 2, 2, generator=seeded(1))
    log_probs = torch.randn(1, 2, 2, 2, generator=seeded(2))

    def run(junk: float) -> tuple[Tensor, Tensor, Tensor]:
        terms = EnergyTerms(unary.clone(), pairwise.clone())
        terms.unary[0, 1] = junk
        terms.pairwise[0, 1] = junk  # type: ignore[index]
        given = log_probs.clone()
        given[0, 1] = junk
        given[0, 0, 1, 1] = junk
        given.requires_grad_(True)
        estimate = estimator(given, terms, rollouts)
        estimate.loss.backward()
        assert given.grad is not None
        return estimate.loss.detach(), estimate.metrics["advantage_square"], given.grad

    for ours, theirs in zip(run(1e6), run(0.0), strict=True):
        assert torch.equal(ours, theirs)
    assert (run(0.0)[2][0, 1] == 0).all()


@pytest.mark.parametrize("estimator", EVERY, ids=lambda one: type(one).__name__)
def test_no_valid_anchor_is_zero_with_its_graph(estimator: Estimator) -> None:
    rollouts = rollouts_with([[[1, 1], [1, 1]]], [False])
    log_probs = torch.randn(1, 1, 2, 2, generator=seeded(0), requires_grad=True)
    estimate = estimator(log_probs, EnergyTerms(torch.ones(1, 1, 2)), rollouts)
    assert estimate.loss == 0
    estimate.loss.backward()
    assert log_probs.grad is not None
    assert (log_probs.grad == 0).all()


@pytest.mark.parametrize("estimator", EVERY, ids=lambda one: type(one).__name__)
def test_gradient_flows_through_log_probabilities_only(estimator: Estimator) -> None:
    rollouts = rollouts_with([[[1, 1], [1, 1]]], [True])
    unary = torch.randn(1, 1, 2, generator=seeded(0), requires_grad=True)
    log_probs = torch.randn(1, 1, 2, 2, generator=seeded(1), requires_grad=True)
    estimate = estimator(log_probs, EnergyTerms(unary), rollouts)
    estimate.loss.backward()
    assert unary.grad is None
    assert not any(metric.requires_grad for metric in estimate.metrics.values())


@pytest.mark.parametrize("estimator", EVERY, ids=lambda one: type(one).__name__)
def test_a_better_rollout_is_pushed_up(estimator: Estimator) -> None:
    """Low energy is good: following minus the gradient raises its log-probability."""
    rollouts = rollouts_with([[[1, 1], [1, 1]]], [True])
    log_probs = torch.zeros(1, 1, 2, 2, requires_grad=True)
    terms = EnergyTerms(torch.tensor([[[-1.0, 1.0]]]))
    estimator(log_probs, terms, rollouts).loss.backward()
    assert log_probs.grad is not None
    assert (log_probs.grad[0, 0, 0] < 0).all()
    assert (log_probs.grad[0, 0, 1] > 0).all()
