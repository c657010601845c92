"""The bound against exact probabilities, by listing every outcome."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from ebmlm.testing.multinomial import multinomial_p_bound


def bound(counts: list[int], probabilities: list[float]) -> float:
    return multinomial_p_bound(
        torch.tensor(counts), torch.tensor(probabilities, dtype=torch.float64)
    )


def distance(counts: tuple[int, ...], probabilities: list[float]) -> float:
    draws = sum(counts)
    return sum(
        count * math.log(count / draws / chance)
        for count, chance in zip(counts, probabilities, strict=True)
        if count
    )


def chance_of(counts: tuple[int, ...], probabilities: list[float]) -> float:
    value = float(math.factorial(sum(counts)))
    for count, chance in zip(counts, probabilities, strict=True):
        value *= chance**count / math.factorial(count)
    return value


@pytest.mark.parametrize("draws", [1, 4, 20])
@pytest.mark.parametrize("probabilities", [[0.5, 0.5], [0.02, 0.98], [0.7, 0.2, 0.1]])
def test_it_is_no_less_than_the_exact_tail(draws: int, probabilities: list[float]) -> None:
    size = len(probabilities)
    outcomes = [
        counts
        for counts in itertools.product(range(draws + 1), repeat=size)
        if sum(counts) == draws
    ]
    assert sum(chance_of(counts, probabilities) for counts in outcomes) == pytest.approx(1)
    for counts in outcomes:
        far = distance(counts, probabilities)
        tail = sum(
            chance_of(other, probabilities)
            for other in outcomes
            if distance(other, probabilities) >= far - 1e-12
        )
        assert bound(list(counts), probabilities) >= tail - 1e-12


def test_by_hand() -> None:
    """100 heads in a row: n KL = 100 ln 2, one degree of freedom."""
    far = 100 * math.log(2)
    assert bound([100, 0], [0.5, 0.5]) == pytest.approx(math.e * far * 2.0**-100)
    assert bound([50, 50], [0.5, 0.5]) == 1
    assert bound([55, 45], [0.5, 0.5]) == 1


def test_rare_cells_are_taken_together() -> None:
    together = bound([900, 100], [0.991, 0.009])
    assert bound([900, 50, 50], [0.991, 0.005, 0.004]) == pytest.approx(together)
    assert together < 1e-50


def test_what_cannot_be_drawn_is_not() -> None:
    assert bound([50, 50, 0], [0.5, 0.5, 0.0]) == 1
    assert bound([50, 49, 1], [0.5, 0.5, 0.0]) == 0


def test_a_single_cell_tells_nothing() -> None:
    assert bound([100], [1.0]) == 1
