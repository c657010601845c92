"""Differences between two ways to train, over several seeds and the same held-out items."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ebmlm.errors import UserError
from ebmlm.evaluation.intervals import t_interval, t_quantile
from ebmlm.evaluation.measurement import Measurement

__all__ = ["SeededDifference", "seeded_difference"]


@dataclass(frozen=True)
class SeededDifference:
    """A mean difference with the error that both other items and other seeds would have made.

    Attributes:
        mean: over seeds and items.
        item_error: standard error over items, of differences that are averaged over seeds.
        seed_error: standard error over seeds, of differences that are averaged over items; zero
            where there is one seed, whose error is then not known.
        degrees: of freedom of both together (Satterthwaite 1946).
        seeds: how many there are.
    """

    mean: float
    item_error: float
    seed_error: float
    degrees: int
    seeds: int

    @property
    def standard_error(self) -> float:
        """Of both together.

        Items and seeds are crossed, and what they do together is counted in both: the error is
        rather too large than too small (docs/mathematics.md, "Seeds and items").
        """
        return math.hypot(self.item_error, self.seed_error)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Confidence interval of the mean, by Student's t."""
        return t_interval(self.mean, self.standard_error, self.degrees, level)

    def detectable(self, level: float = 0.95, power: float = 0.8) -> float:
        """Return the smallest true difference that would have been told from zero.

        Args:
            level: of the interval that leaves zero out.
            power: probability that it does.
        """
        if self.degrees < 1:
            return float("nan")
        quantiles = t_quantile((1 + level) / 2, self.degrees) + t_quantile(power, self.degrees)
        return quantiles * self.standard_error


def seeded_difference(
    measured: Sequence[Measurement], others: Sequence[Measurement]
) -> SeededDifference:
    """Compare two ways to train, each measured after training with the same seeds, in order.

    Args:
        measured: one for each seed, on the same items.
        others: likewise; what does not depend on the seed may be given once.

    Raises:
        UserError: for no seed, or different numbers of them.
        ValueError: if the items differ.
    """
    if len(others) == 1:
        others = [*others] * len(measured)
    if not measured or len(measured) != len(others):
        raise UserError(
            f"{len(measured)} and {len(others)} seeds: compare runs of the same seeds, at least one"
        )
    each = [one.minus(other) for one, other in zip(measured, others, strict=True)]
    seeds = len(each)
    together = Measurement(torch.stack([one.totals for one in each]).mean(0), each[0].counts)
    item_error = together.standard_error
    means = torch.tensor([one.mean for one in each], dtype=torch.float64)
    seed_error = float(means.std() / math.sqrt(seeds)) if seeds > 1 else 0.0
    return SeededDifference(
        together.mean,
        item_error,
        seed_error,
        _degrees(item_error, together.items, seed_error, seeds),
        seeds,
    )


def _degrees(item_error: float, items: int, seed_error: float, seeds: int) -> int:
    """Degrees of freedom of a sum of two estimated variances, rounded down, at least one."""
    parts = [(item_error**2, items - 1), (seed_error**2, seeds - 1)]
    parts = [(variance, degrees) for variance, degrees in parts if degrees > 0 and variance > 0]
    if not parts:
        return max(items - 1, 0)
    total = sum(variance for variance, _ in parts)
    return max(1, int(total**2 / sum(variance**2 / degrees for variance, degrees in parts)))
