"""Advantages read off a loss against the estimators' own formulas."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ebmlm.energies import EnergyTerms
from ebmlm.estimators import (
    RLOO,
    Estimator,
    GroupNorm,
    Reinforce,
    mean_token_log_prob,
    sequence_log_prob,
)
from ebmlm.estimators.rloo import leave_one_out_baseline
from ebmlm.exploration.advantages import advantages_of
from ebmlm.rollouts import Rollouts
from tests.helpers import made_rollouts, packed_batch, seeded


def drawn() -> tuple[Rollouts, EnergyTerms]:
    """Rollouts of unequal lengths, an anchor that does not count, and terms of all kinds."""
    completions = torch.randint(61, (4, 2, 3, 5), generator=seeded(0))
    lengths = torch.randint(1, 6, (4, 2, 3), generator=seeded(1))
    anchor_mask = torch.tensor([[True, True], [True, False], [True, True], [True, True]])
    rollouts = made_rollouts(
        packed_batch(),
        torch.full((4, 2), 6),
        completions,
        anchor_mask=anchor_mask,
        completion_mask=torch.arange(5) < lengths.unsqueeze(-1),
    )
    pairwise = torch.randn(4, 2, 3, 3, dtype=torch.float64, generator=seeded(2))
    pairwise = (pairwise + pairwise.mT) * ~torch.eye(3, dtype=torch.bool)
    unary = torch.randn(4, 2, 3, dtype=torch.float64, generator=seeded(3))
    return rollouts, EnergyTerms(unary, pairwise)


def left_out(terms: EnergyTerms) -> Tensor:
    return terms.per_sample() - leave_one_out_baseline(terms)


def group_normed(terms: EnergyTerms) -> Tensor:
    energies = terms.per_sample()
    return (energies - energies.mean(-1, keepdim=True)) / (energies.std(-1, keepdim=True) + 1e-4)


@pytest.mark.parametrize(
    ("estimator", "formula"),
    [
        (RLOO(sequence_log_prob), left_out),
        (RLOO(mean_token_log_prob), left_out),
        (Reinforce(0.5, mean_token_log_prob), lambda terms: terms.per_sample() - 0.5),
        (GroupNorm(), group_normed),
        (GroupNorm(sequence_log_prob), group_normed),
    ],
)
def test_advantages_are_those_of_the_estimator(
    estimator: Estimator, formula: Callable[[EnergyTerms], Tensor]
) -> None:
    rollouts, terms = drawn()
    log_probs = -torch.rand(4, 2, 3, 5, dtype=torch.float64, generator=seeded(4))
    with torch.no_grad():
        found = advantages_of(estimator, log_probs, terms, rollouts)
    expected = torch.where(rollouts.anchor_mask.unsqueeze(-1), -formula(terms), 0)
    torch.testing.assert_close(found, expected)
    assert not log_probs.requires_grad
