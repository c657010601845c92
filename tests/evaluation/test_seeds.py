"""Differences over seeds and items."""

from __future__ import annotations

import math

import pytest
import torch

from ebmlm.errors import UserError
from ebmlm.evaluation.measurement import Measurement
from ebmlm.evaluation.seeds import SeededDifference, seeded_difference


def of(values: torch.Tensor) -> list[Measurement]:
    """One measurement for each row of (seed, item), one count an item."""
    return [Measurement(row.double(), torch.ones(len(row), dtype=torch.int64)) for row in values]


def crossed(
    generator: torch.Generator, seeds: int, items: int, by_item: float, by_seed: float, rest: float
) -> torch.Tensor:
    """Draw (seed, item) with effects of items, of seeds and of both together."""
    normal = torch.randn
    return (
        by_item * normal(1, items, generator=generator)
        + by_seed * normal(seeds, 1, generator=generator)
        + rest * normal(seeds, items, generator=generator)
    )


def test_by_hand() -> None:
    found = seeded_difference(
        of(torch.tensor([[1.0, 2.0, 6.0], [3.0, 4.0, 2.0]])), of(torch.zeros(2, 3))
    )
    assert found.mean == pytest.approx(3.0)
    # Items, averaged over seeds, are 2, 3, 4; seeds, averaged over items, are 3 and 3.
    assert found.item_error == pytest.approx(math.sqrt(1 / 3))
    assert found.seed_error == pytest.approx(0.0)
    assert found.degrees == 2
    assert found.interval()[0] == pytest.approx(3 - 4.302652730 * math.sqrt(1 / 3))


def trials(
    number: int, seed: int, by_item: float, by_seed: float, rest: float
) -> list[SeededDifference]:
    """Differences of three seeds on sixty items, none of them real."""
    generator = torch.Generator().manual_seed(seed)
    drawn = [crossed(generator, 3, 60, by_item, by_seed, rest) for _ in range(number)]
    return [seeded_difference(of(one), of(torch.zeros_like(one))) for one in drawn]


@pytest.mark.parametrize(
    ("by_item", "by_seed", "rest"), [(1.0, 0.0, 1.0), (0.1, 0.5, 0.1), (1.0, 0.1, 2.0)]
)
def test_intervals_cover(by_item: float, by_seed: float, rest: float) -> None:
    intervals = [one.interval() for one in trials(400, 0, by_item, by_seed, rest)]
    covered = sum(low <= 0 <= high for low, high in intervals)
    # Of 400 trials at 95 %, 366 or more are covered but for one time in a hundred.
    assert covered >= 366


def test_items_alone_would_not_cover() -> None:
    found = trials(200, 1, by_item=0.1, by_seed=0.5, rest=0.1)
    covered = sum(abs(one.mean) <= 2 * one.item_error for one in found)
    assert covered < 100


def test_detectable_is_detected() -> None:
    generator = torch.Generator().manual_seed(2)
    number, told = 400, 0
    for _ in range(number):
        drawn = crossed(generator, 6, 80, 1.0, 0.2, 0.0)
        errors = seeded_difference(of(drawn), of(torch.zeros_like(drawn)))
        effect = math.sqrt(1 / 80 + 0.04 / 6) * errors.detectable() / errors.standard_error
        low, high = seeded_difference(of(drawn + effect), of(torch.zeros_like(drawn))).interval()
        told += not low <= 0 <= high
    assert 0.7 < told / number < 0.92


def test_what_has_no_seed_is_given_once() -> None:
    trained, base = torch.tensor([[1.0, 2.0], [2.0, 5.0]]), torch.tensor([[1.0, 1.0]])
    found = seeded_difference(of(trained), of(base))
    assert found == seeded_difference(of(trained), of(base.expand(2, -1)))
    assert found.seeds == 2


def test_one_seed_has_the_error_of_items() -> None:
    found = seeded_difference(of(torch.tensor([[1.0, 2.0, 3.0]])), of(torch.zeros(1, 3)))
    assert found.standard_error == pytest.approx(math.sqrt(1 / 3))
    assert (found.mean, found.degrees, found.seeds) == (2.0, 2, 1)


def test_errors() -> None:
    with pytest.raises(UserError, match="2 and 3 seeds: compare runs of the same seeds"):
        seeded_difference(of(torch.zeros(2, 3)), of(torch.zeros(3, 3)))
    with pytest.raises(UserError, match="0 and 0 seeds"):
        seeded_difference([], [])
    with pytest.raises(ValueError, match="do not compare"):
        seeded_difference(
            of(torch.zeros(1, 3)),
            [Measurement(torch.zeros(3).double(), torch.tensor([1, 2, 1]))],
        )
