"""Confidence intervals of means."""

from __future__ import annotations

import math
from statistics import NormalDist

__all__ = ["t_interval", "t_quantile", "wilson_interval"]

# From so many degrees of freedom on the expansion is right to twelve digits.
_MANY = 2000


def t_quantile(probability: float, degrees: int) -> float:
    """Return the quantile of Student's t distribution.

    Bisection of its distribution function, which for whole degrees of freedom is a finite sum
    (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4); for thousands of them the expansion around the
    normal quantile (26.7.5).

    Raises:
        ValueError: for a probability outside (0, 1), or degrees under 1.
    """
    if not 0 < probability < 1:
        raise ValueError(f"probability is {probability}: it must be between 0 and 1")
    if degrees < 1:
        raise ValueError(f"degrees is {degrees}: there must be at least 1 degree of freedom")
    if probability < 0.5:
        return -t_quantile(1 - probability, degrees)
    if degrees >= _MANY:
        return _expanded(NormalDist().inv_cdf(probability), degrees)
    # By the angle theta = arctan(t / sqrt(degrees)) the search is bounded.
    low, high = 0.0, math.pi / 2
    for _ in range(100):
        middle = (low + high) / 2
        if (1 + _central(middle, degrees)) / 2 < probability:
            low = middle
        else:
            high = middle
    return math.sqrt(degrees) * math.tan((low + high) / 2)


def t_interval(
    mean: float, standard_error: float, degrees: int, level: float = 0.95
) -> tuple[float, float]:
    """Return ``mean`` plus and minus the t quantile times its standard error.

    Not numbers where there is no degree of freedom.
    """
    if degrees < 1:
        return float("nan"), float("nan")
    reach = t_quantile((1 + level) / 2, degrees) * standard_error
    return mean - reach, mean + reach


def wilson_interval(share: float, items: int, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a share of independent items (Wilson 1927).

    Unlike a t-interval it has a width where none or all of the items are counted.
    """
    if items < 1:
        return float("nan"), float("nan")
    z = NormalDist().inv_cdf((1 + level) / 2)
    scale = 1 + z * z / items
    middle = (share + z * z / (2 * items)) / scale
    reach = z / scale * math.sqrt(share * (1 - share) / items + (z / (2 * items)) ** 2)
    # At the ends, where rounding would leave a trace.
    low = middle - reach if share > 0 else 0.0
    high = middle + reach if share < 1 else 1.0
    return low, high


def _central(angle: float, degrees: int) -> float:
    """Probability that t lies within plus and minus ``sqrt(degrees) tan(angle)``."""
    cosine = math.cos(angle)
    odd = degrees % 2
    term = cosine if odd else 1.0
    total = term if degrees > 1 else 0.0
    for number in range(3 if odd else 2, degrees - 1, 2):
        term *= cosine * cosine * (number - 1) / number
        total += term
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total


def _expanded(z: float, degrees: int) -> float:
    return (
        z
        + (z**3 + z) / (4 * degrees)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * degrees**3)
    )
