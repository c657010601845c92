from __future__ import annotations

import math
from statistics import NormalDist

import pytest
import torch

from ebmlm.evaluation.intervals import t_interval, t_quantile, wilson_interval


@pytest.mark.parametrize(
    ("degrees", "probability", "quantile"),
    [
        # Printed tables of Student's t.
        (1, 0.975, 12.7062),
        (2, 0.975, 4.3027),
        (3, 0.975, 3.1824),
        (9, 0.975, 2.2622),
        (10, 0.995, 3.1693),
        (30, 0.95, 1.6973),
        (120, 0.975, 1.9799),
        (5, 0.5, 0.0),
        (5, 0.025, -2.5706),
    ],
)
def test_quantiles_are_those_of_printed_tables(
    degrees: int, probability: float, quantile: float
) -> None:
    assert t_quantile(probability, degrees) == pytest.approx(quantile, abs=5e-5)


def test_quantiles_in_closed_form() -> None:
    for probability in (0.6, 0.9, 0.999):
        angle = math.pi * (probability - 0.5)
        assert t_quantile(probability, 1) == pytest.approx(math.tan(angle), rel=1e-11)
        side = 2 * probability - 1
        two = side * math.sqrt(2 / (1 - side * side))
        assert t_quantile(probability, 2) == pytest.approx(two, rel=1e-11)


def test_the_sum_and_the_expansion_meet_and_end_in_the_normal() -> None:
    for probability in (0.6, 0.975, 0.9999):
        below, above = (t_quantile(probability, degrees) for degrees in (1999, 2000))
        assert 0 < below - above < 1e-5
        assert t_quantile(probability, 10**9) == pytest.approx(
            NormalDist().inv_cdf(probability), abs=1e-7
        )


def test_what_is_no_quantile_is_refused() -> None:
    with pytest.raises(ValueError, match="probability is 1"):
        t_quantile(1.0, 3)
    with pytest.raises(ValueError, match="at least 1 degree"):
        t_quantile(0.5, 0)
    assert all(math.isnan(end) for end in t_interval(1.0, 0.5, 0))


def test_t_intervals_hold_the_mean_as_often_as_they_say() -> None:
    """5000 samples of four normal numbers; four standard errors of the count."""
    generator = torch.Generator().manual_seed(0)
    samples = torch.randn(5000, 4, dtype=torch.float64, generator=generator)
    held = 0
    for mean, error in zip(samples.mean(1).tolist(), (samples.std(1) / 2).tolist(), strict=True):
        low, high = t_interval(mean, error, 3)
        held += low <= 0 <= high
    assert abs(held / 5000 - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 5000)


def test_wilsons_interval() -> None:
    """No item of ten: from 0 to z^2 / (n + z^2); and the ends solve the score equation."""
    z = NormalDist().inv_cdf(0.975)
    assert wilson_interval(0.0, 10) == pytest.approx((0.0, z * z / (10 + z * z)))
    low, high = wilson_interval(0.3, 20)
    for end in (low, high):
        assert abs(0.3 - end) == pytest.approx(z * math.sqrt(end * (1 - end) / 20))
    assert wilson_interval(1.0, 10)[1] == 1.0
    assert all(math.isnan(end) for end in wilson_interval(0.0, 0))
