"""Pearson's chi-square test by hand-worked numbers."""

from __future__ import annotations

import math

import pytest
import torch

from ebmlm.testing.chi_square import chi_square_p_value


def p_value(counts: list[int], probabilities: list[float]) -> float:
    return chi_square_p_value(
        torch.tensor(counts), torch.tensor(probabilities, dtype=torch.float64)
    )


def test_the_p_value_is_that_of_tables() -> None:
    """2 (60 - 50)^2 / 50 = 4 at one degree of freedom; 3 cells of 50, 30, 40: 5 at two."""
    assert p_value([60, 40], [0.5, 0.5]) == pytest.approx(0.0455003, abs=1e-6)
    assert p_value([50, 30, 40], [1 / 3] * 3) == pytest.approx(math.exp(-2.5), abs=1e-6)


def test_what_is_expected_is_the_most_probable() -> None:
    assert p_value([30, 50, 20], [0.3, 0.5, 0.2]) == 1
    assert p_value([31, 49, 20], [0.3, 0.5, 0.2]) > 0.9
    assert p_value([50, 30, 20], [0.3, 0.5, 0.2]) < 1e-4


def test_rare_cells_are_taken_together() -> None:
    """Of 100, three cells that expect 4, 3 and 3 count as one that expects 10."""
    together = p_value([80, 20], [0.9, 0.1])
    assert p_value([80, 20, 0, 0], [0.9, 0.04, 0.03, 0.03]) == together
    assert p_value([80, 6, 7, 7], [0.9, 0.04, 0.03, 0.03]) == together
    assert together == pytest.approx(math.erfc((100 / 9 / 2) ** 0.5))
    # A cell that expects five is not rare.
    assert p_value([90, 10, 0], [0.9, 0.05, 0.05]) == pytest.approx(math.exp(-5))


def test_what_cannot_be_drawn_is_not() -> None:
    assert p_value([50, 50, 0], [0.5, 0.5, 0.0]) == 1
    assert p_value([50, 49, 1], [0.5, 0.5, 0.0]) == 0


def test_a_single_cell_tells_nothing() -> None:
    assert p_value([100], [1.0]) == 1
    assert p_value([3, 1], [0.75, 0.25]) == 1
