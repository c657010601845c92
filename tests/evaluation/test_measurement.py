from __future__ import annotations

import math

import pytest
import torch

from ebmlm.evaluation import Measurement


def of(totals: list[float], counts: list[int]) -> Measurement:
    return Measurement(torch.tensor(totals, dtype=torch.float64), torch.tensor(counts))


def test_a_ratio_of_sums_and_its_error_by_hand() -> None:
    measured = of([2.0, 6.0], [1, 3])
    assert measured.mean == 2.0
    assert measured.standard_error == 0.0
    # Two values 1 and 3: deviation sqrt(2), over sqrt(2).
    assert of([1.0, 3.0], [1, 1]).standard_error == pytest.approx(1.0)
    # Mean 2; residuals 1 - 2, 7 - 6, 4 - 4; (2 * 3 / 2)^(1/2) over six tokens.
    measured = of([1.0, 7.0, 4.0], [1, 3, 2])
    assert measured.mean == 2.0
    assert measured.standard_error == pytest.approx(math.sqrt(3) / 6)


def test_an_interval_by_hand() -> None:
    # Three values of mean 2 and deviation 1; t of two degrees of freedom is 4.3027.
    low, high = of([1.0, 2.0, 3.0], [1, 1, 1]).interval()
    assert (low, high) == pytest.approx(
        (2 - 4.3027 / math.sqrt(3), 2 + 4.3027 / math.sqrt(3)), 1e-4
    )
    narrow = of([1.0, 2.0, 3.0], [1, 1, 1]).interval(0.5)
    assert low < narrow[0] < narrow[1] < high


def test_what_counts_nothing_is_no_item() -> None:
    measured, padded = of([1.0, 3.0], [1, 1]), of([0.0, 1.0, 0.0, 3.0], [0, 1, 0, 1])
    assert padded.items == measured.items == 2
    assert padded.mean == measured.mean
    assert padded.standard_error == measured.standard_error
    assert padded.interval() == measured.interval()


def test_too_few_items_have_no_error() -> None:
    one = of([1.0, 0.0], [2, 0])
    assert one.mean == 0.5
    assert math.isnan(one.standard_error)
    assert all(math.isnan(end) for end in one.interval())
    assert math.isnan(of([0.0], [0]).mean)


def test_it_survives_json() -> None:
    measured = of([0.1, 1 / 3], [1, 2])
    again = Measurement.from_json(measured.to_json())
    assert again.totals.equal(measured.totals)
    assert again.counts.equal(measured.counts)
