"""Kernels of vectors add and scale, and are fitted part by part."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from torch import Tensor

from ebmlm.errors import UserError
from ebmlm.kernels import (
    Gaussian,
    Laplace,
    Linear,
    MedianBandwidth,
    Polynomial,
    ScaledVectorKernel,
    SumVectorKernel,
)
from tests.helpers import seeded
from tests.kernels.helpers import assert_semi_definite, gathered

LEFT = torch.randn(2, 3, 4, generator=seeded(0))
RIGHT = torch.randn(2, 5, 4, generator=seeded(1))


def test_they_add_and_scale() -> None:
    near, far = Gaussian(1.0), Gaussian(2.0)
    expected = near(LEFT, RIGHT) + 0.5 * far(LEFT, RIGHT)
    assert expected.shape == (2, 3, 5)
    torch.testing.assert_close((near + 0.5 * far)(LEFT, RIGHT), expected)
    torch.testing.assert_close((near + far * 0.5)(LEFT, RIGHT), expected)


def test_sums_and_multiples_are_flat() -> None:
    one, two, three = Gaussian(1.0), Linear(), Polynomial()
    total = one + two + (three + one)
    assert isinstance(total, SumVectorKernel)
    assert total.kernels == (one, two, three, one)
    scaled = 0.5 * (4 * one)
    assert isinstance(scaled, ScaledVectorKernel)
    assert (scaled.kernel, scaled.factor) == (one, 2.0)


def test_parts_are_fitted_each_by_its_own_distance() -> None:
    references = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    kernel = (0.5 * Gaussian(MedianBandwidth()) + Laplace(MedianBandwidth())).fitted(references)
    expected = 0.5 * Gaussian(5.0) + Laplace(7.0)
    left, right = LEFT[..., :2], RIGHT[..., :2]
    torch.testing.assert_close(kernel(left, right), expected(left, right))
    linear = Linear()
    assert linear.fitted(references) is linear


@given(gathered())
def test_sums_are_positive_semi_definite(vectors: Tensor) -> None:
    kernel = 0.3 * Gaussian(0.5) + Laplace(2.0) + 0.1 * Linear()
    assert_semi_definite(kernel(vectors, vectors))


@pytest.mark.parametrize("factor", [-1.0, float("nan"), float("inf")])
def test_what_is_no_kernel_is_refused(factor: float) -> None:
    with pytest.raises(UserError, match=f"a kernel times {factor}"):
        factor * Linear()
    with pytest.raises(UserError, match="no kernels"):
        SumVectorKernel([])
