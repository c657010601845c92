"""REINFORCE by hand-worked numbers."""

from __future__ import annotations

import torch

from ebmlm.energies import EnergyTerms
from ebmlm.estimators import Reinforce, mean_token_log_prob
from tests.estimators.test_base import rollouts_with


def test_by_hand() -> None:
    rollouts = rollouts_with([[[1, 1], [1, 0]]], [True])
    terms = EnergyTerms(torch.tensor([[[3.0, -1.0]]]), torch.tensor([[[[0.0, 2.0], [2.0, 0.0]]]]))
    for estimator, expected in (
        (Reinforce(), [[2.5, 2.5], [0.5, 0]]),
        (Reinforce(4.0), [[0.5, 0.5], [-1.5, 0]]),
        (Reinforce(4.0, mean_token_log_prob), [[0.25, 0.25], [-1.5, 0]]),
    ):
        log_probs = torch.zeros(1, 1, 2, 2, requires_grad=True)
        estimator(log_probs, terms, rollouts).loss.backward()
        assert log_probs.grad is not None
        assert log_probs.grad.tolist() == [[expected]]


def test_only_the_credit_may_bias() -> None:
    assert Reinforce().bias is None
    assert Reinforce(4.0).bias is None
    bias = Reinforce(credit=mean_token_log_prob).bias
    assert bias is not None
    assert "mean_token_log_prob" in bias


def test_one_sample_is_enough() -> None:
    rollouts = rollouts_with([[[1, 1]]], [True])
    log_probs = torch.zeros(1, 1, 1, 2, requires_grad=True)
    Reinforce()(log_probs, EnergyTerms(torch.tensor([[[3.0]]])), rollouts).loss.backward()
    assert log_probs.grad is not None
    assert log_probs.grad.tolist() == [[[[3.0, 3.0]]]]
    assert Reinforce.minimum_samples == 1
