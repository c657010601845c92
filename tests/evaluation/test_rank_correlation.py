"""Spearman's rank correlation."""

from __future__ import annotations

import pytest
import torch

from ebmlm.evaluation.rank_correlation import rank_correlation, ranks


def test_ties_share_their_mean_rank() -> None:
    found = ranks(torch.tensor([[3.0, 1.0, 3.0, 0.0], [2.0, 2.0, 2.0, 2.0]]))
    assert found.tolist() == [[2.5, 1.0, 2.5, 0.0], [1.5, 1.5, 1.5, 1.5]]


def test_without_ties_it_is_the_textbook_formula() -> None:
    left, right = torch.tensor([1.0, 5.0, 2.0, 9.0, 4.0]), torch.tensor([2.0, 3.0, 8.0, 7.0, 1.0])
    distance = (ranks(left) - ranks(right)).square().sum()
    assert float(rank_correlation(left, right)) == pytest.approx(float(1 - 6 * distance / 120))


def test_any_increasing_map_is_one_and_nothing_to_rank_is_no_number() -> None:
    values = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    assert rank_correlation(values, values.exp()).tolist() == pytest.approx([1.0] * 3)
    assert rank_correlation(values, -values).tolist() == pytest.approx([-1.0] * 3)
    assert rank_correlation(values, torch.zeros(3, 6)).isnan().all()
