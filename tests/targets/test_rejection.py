"""What quasi-rejection would do at a bound, against what it does by definition."""

from __future__ import annotations

import pytest
import torch

from ebmlm.errors import UserError
from ebmlm.targets import rejection_tradeoff
from tests.helpers import seeded


def test_acceptance_and_distance_are_those_of_the_definition() -> None:
    """Candidates that are equally likely: what is accepted can be listed."""
    log_weights = torch.randn(1, 1, 7, generator=seeded(0), dtype=torch.float64)
    log_weights[..., 2] = -torch.inf
    weights = log_weights[0, 0].exp()
    target = weights / weights.sum()
    log_betas = torch.tensor([-1.0, 0.1, 9.0], dtype=torch.float64)
    found = rejection_tradeoff(log_weights, log_betas)
    for i, log_beta in enumerate(log_betas):
        accepted = (weights / log_beta.exp()).clamp(max=1) / 7
        distance = (accepted / accepted.sum() - target).abs().sum() / 2
        torch.testing.assert_close(found.acceptance[i], accepted.sum())
        torch.testing.assert_close(found.total_variation[i], distance)
    assert float(found.total_variation[-1]) < 1e-12


def test_larger_bounds_accept_less_and_are_nearer() -> None:
    log_weights = 2 * torch.randn(3, 2, 200, generator=seeded(1), dtype=torch.float64)
    found = rejection_tradeoff(log_weights)
    assert len(found.log_betas) == 16
    assert float(found.log_betas[-1]) == float(log_weights.max())
    assert (found.acceptance.diff() < 0).all()
    assert (found.total_variation.diff() <= 1e-12).all()
    chosen = found.within(0.05)
    at = rejection_tradeoff(log_weights, torch.tensor([chosen]))
    assert float(at.total_variation) <= 0.05
    with pytest.raises(UserError, match="no bound brings the total variation to -1"):
        found.within(-1.0)


def test_nothing_but_ruled_out_draws_is_refused() -> None:
    with pytest.raises(UserError, match="no draw has any weight"):
        rejection_tradeoff(torch.full((1, 1, 3), -torch.inf))
