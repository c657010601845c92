"""The median of distances between references."""

from __future__ import annotations

import itertools
import statistics

import pytest
import torch

from ebmlm.errors import UserError
from ebmlm.kernels import Bandwidth, MedianBandwidth
from ebmlm.kernels.bandwidth import fit_bandwidth
from ebmlm.kernels.distances import city_block, euclidean
from tests.helpers import seeded


@pytest.mark.parametrize("count", [2, 3, 6, 7])
def test_the_median_over_pairs(count: int) -> None:
    rows = torch.randn(count, 3, generator=seeded(count), dtype=torch.float64)
    pairs = list(itertools.combinations(rows, 2))
    lengths = [float((x - y).norm()) for x, y in pairs]
    expected = statistics.median_low(lengths)
    assert MedianBandwidth()(rows, euclidean) == pytest.approx(expected)
    assert MedianBandwidth(0.5)(rows, euclidean) == pytest.approx(0.5 * expected)
    sums = statistics.median_low([float((x - y).abs().sum()) for x, y in pairs])
    assert MedianBandwidth()(rows, city_block) == pytest.approx(sums)


def test_references_that_coincide_do_not_count() -> None:
    rows = torch.tensor([[0.0], [0.0], [0.0], [0.0], [3.0]])
    assert MedianBandwidth()(rows, euclidean) == 3


@pytest.mark.parametrize("rows", [torch.zeros(0, 2), torch.ones(1, 2), torch.ones(3, 2)])
def test_without_two_that_differ(rows: torch.Tensor) -> None:
    assert MedianBandwidth(5.0)(rows, euclidean) == 1
    assert MedianBandwidth(5.0, otherwise=0.25)(rows, euclidean) == 0.25


class Nothing(Bandwidth):
    def __call__(self, references: torch.Tensor, distance: object) -> float:
        return 0.0


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_numbers_out_of_range(value: float) -> None:
    with pytest.raises(UserError, match=f"factor is {value}"):
        MedianBandwidth(value)
    with pytest.raises(UserError, match=f"otherwise is {value}"):
        MedianBandwidth(1.0, value)
    with pytest.raises(UserError, match=r"bandwidth is 0\.0"):
        fit_bandwidth(Nothing(), torch.zeros(2, 2), euclidean)
