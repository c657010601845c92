"""Ranks with ties, and their correlation, against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch

from ebmlm.evaluation.rank_correlation import rank_correlation, ranks
from tests.helpers import seeded


def test_equal_values_share_their_ranks() -> None:
    values = torch.tensor([[3.0, 1.0, 3.0, 0.0], [2.0, 2.0, 2.0, 2.0]])
    assert ranks(values).tolist() == [[2.5, 1.0, 2.5, 0.0], [1.5, 1.5, 1.5, 1.5]]


def test_without_ties_it_is_the_formula_of_squared_differences() -> None:
    left, right = torch.rand(2, 20, 9, generator=seeded(0))
    difference = (ranks(left) - ranks(right)).square().sum(-1)
    expected = 1 - 6 * difference / (9 * (9**2 - 1))
    assert torch.allclose(rank_correlation(left, right), expected)


def test_with_ties_by_hand() -> None:
    # Ranks 0, 1.5, 1.5, 3 and 0, 2, 1, 3: products of deviations 4.5 of lengths^2 4.5 and 5.
    found = rank_correlation(torch.tensor([1.0, 2.0, 2.0, 7.0]), torch.tensor([0.1, 5.0, 4.0, 6.0]))
    assert float(found) == pytest.approx(4.5 / (4.5 * 5) ** 0.5)


def test_any_rising_map_changes_nothing_and_a_falling_one_the_sign() -> None:
    left, right = torch.randn(2, 5, 6, generator=seeded(1))
    found = rank_correlation(left, right)
    assert torch.allclose(rank_correlation(left.exp(), right**3), found)
    assert torch.allclose(rank_correlation(-left, right), -found)


def test_what_orders_nothing_has_none() -> None:
    assert rank_correlation(torch.ones(4), torch.arange(4)).isnan()
    assert rank_correlation(torch.ones(1), torch.ones(1)).isnan()
