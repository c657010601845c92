"""Projections, and what random ones do to inner products."""

from __future__ import annotations

import pytest
import torch

from ebmlm.errors import UserError
from ebmlm.features import Projected, RandomProjection
from ebmlm.features.projection import projection_error
from tests.features.maps import Given, Undeclared, given, some_rollouts
from tests.helpers import seeded

ROLLOUTS = some_rollouts()


def test_a_projection_is_the_matrix_times_each_vector() -> None:
    matrix = torch.randn(2, 5, generator=seeded(1), dtype=torch.float64)
    made = Projected(given(5), matrix)(ROLLOUTS)
    before = given(5)(ROLLOUTS)
    assert made.blocks == (2,)
    assert made.references is not None and before.references is not None
    for row in range(2):
        for anchor in range(3):
            expected = matrix @ before.references[row, anchor]
            torch.testing.assert_close(made.references[row, anchor], expected)
            for sample in range(4):
                expected = matrix @ before.rollouts[row, anchor, sample]
                torch.testing.assert_close(made.rollouts[row, anchor, sample], expected)


def test_inner_products_keep_their_mean_and_have_the_stated_error() -> None:
    """Over 4,000 matrices; 5 standard errors of mean and of variance."""
    vectors = torch.randn(1, 1, 2, 6, generator=seeded(3), dtype=torch.float64)
    features = Given(vectors, None)
    left, right = vectors[0, 0]
    draws = 4000
    products = []
    for seed in range(draws):
        one, two = RandomProjection(features, 3, seed)(ROLLOUTS).rollouts[0, 0]
        products.append(one @ two)
    found = torch.stack(products)
    error = projection_error(left, right, 3)
    assert abs(found.mean() - left @ right) < 5 * error / draws**0.5
    # A product of normals has heavy tails: kurtosis of up to 9 for one row, less for three.
    assert abs(found.var() / error**2 - 1) < 5 * (8 / draws) ** 0.5


def test_the_same_seed_is_the_same_map() -> None:
    one, two = RandomProjection(given(5), 3, 1), RandomProjection(given(5), 3, 1)
    assert torch.equal(one(ROLLOUTS).rollouts, two(ROLLOUTS).rollouts)
    other = RandomProjection(given(5), 3, 2)
    assert not torch.equal(one(ROLLOUTS).rollouts, other(ROLLOUTS).rollouts)


def test_what_does_not_fit_is_refused_when_it_is_put_together() -> None:
    with pytest.raises(UserError, match=r"shape \(2, 4\) and Given 5 features"):
        Projected(given(5), torch.zeros(2, 4))
    with pytest.raises(UserError, match="not finite"):
        Projected(given(5), torch.full((2, 5), torch.nan))
    for width in (0, 6):
        with pytest.raises(UserError, match=f"width is {width}"):
            RandomProjection(given(5), width)
    with pytest.raises(UserError, match="width of Undeclared is not known"):
        RandomProjection(Undeclared(torch.zeros(2, 3, 4, 5), None), 2)
