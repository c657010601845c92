"""Kernels of distances against their formulas, close by and far off."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from torch import Tensor

from ebmlm.errors import UserError
from ebmlm.kernels import Gaussian, Laplace, MedianBandwidth, RationalQuadratic, VectorKernel
from ebmlm.kernels.distances import city_block, euclidean
from tests.helpers import seeded
from tests.kernels.helpers import assert_semi_definite, gathered, one_pair_at_a_time


def gaussian(x: Tensor, y: Tensor) -> float:
    return math.exp(-float((x - y).square().sum()) / (2 * 0.7**2))


def laplace(x: Tensor, y: Tensor) -> float:
    return math.exp(-float((x - y).abs().sum()) / 0.7)


def rational_quadratic(x: Tensor, y: Tensor) -> float:
    return float((1 + float((x - y).square().sum()) / (2 * 1.5 * 0.7**2)) ** -1.5)


KERNELS: list[tuple[VectorKernel, Callable[[Tensor, Tensor], float]]] = [
    (Gaussian(0.7), gaussian),
    (Laplace(0.7), laplace),
    (RationalQuadratic(0.7, 1.5), rational_quadratic),
]
NAMED = pytest.mark.parametrize(
    ("kernel", "formula"), KERNELS, ids=[type(kernel).__name__ for kernel, _ in KERNELS]
)


@NAMED
@given(vectors=gathered())
def test_the_formula(
    kernel: VectorKernel, formula: Callable[[Tensor, Tensor], float], vectors: Tensor
) -> None:
    one_pair_at_a_time(kernel, vectors, vectors[:2], formula)
    gram = kernel(vectors, vectors)
    assert_semi_definite(gram)
    assert gram.diagonal().eq(1).all()
    assert (gram >= 0).all() and (gram <= 1).all()


@NAMED
@pytest.mark.parametrize("rows", [3, 40])
def test_what_is_the_same_is_exactly_alike_and_what_is_close_nearly(
    kernel: VectorKernel, formula: Callable[[Tensor, Tensor], float], rows: int
) -> None:
    """In float32, far from the origin: lengths less inner products would lose every digit."""
    vectors = 100 + torch.randn(rows, 600, generator=seeded(0))
    assert kernel(vectors, vectors.clone()).diagonal().eq(1).all()
    moved = vectors.clone()
    moved[:, 0] += 0.25
    apart = torch.zeros(1, 1), torch.full((1, 1), 0.25)
    expected = torch.full((rows,), formula(apart[0][0], apart[1][0]))
    torch.testing.assert_close(kernel(vectors, moved).diagonal(), expected, atol=1e-4, rtol=0)


def test_a_rational_quadratic_of_large_alpha_is_gaussian() -> None:
    vectors = torch.randn(4, 3, generator=seeded(0), dtype=torch.float64)
    found = RationalQuadratic(0.7, 1e6)(vectors, vectors)
    torch.testing.assert_close(found, Gaussian(0.7)(vectors, vectors), atol=1e-5, rtol=0)


def test_distances() -> None:
    left, right = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, -4.0], [0.0, 0.0]])
    assert euclidean(left, right).tolist() == [[5.0, 0.0]]
    assert city_block(left, right).tolist() == [[7.0, 0.0]]


@pytest.mark.parametrize("kind", [Gaussian, Laplace, RationalQuadratic])
def test_a_rule_has_to_be_fitted(kind: type[VectorKernel]) -> None:
    kernel = kind(MedianBandwidth())  # type: ignore[call-arg]
    vectors = torch.tensor([[0.0], [1.0], [3.0], [5.0]])
    with pytest.raises(ValueError, match="still a rule, MedianBandwidth"):
        kernel(vectors, vectors)
    # Distances 1, 2, 2, 3, 4, 5, of which the lower middle one is 2.
    expected = kind(2.0)(vectors, vectors)  # type: ignore[call-arg]
    torch.testing.assert_close(kernel.fitted(vectors)(vectors, vectors), expected)
    # A number stays what it is.
    fixed = kind(0.3)  # type: ignore[call-arg]
    torch.testing.assert_close(
        fixed.fitted(vectors)(vectors, vectors), fixed(vectors, vectors), atol=0, rtol=0
    )


@pytest.mark.parametrize("kind", [Gaussian, Laplace, RationalQuadratic])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_bandwidths_out_of_range(kind: type[VectorKernel], value: float) -> None:
    with pytest.raises(UserError, match=f"bandwidth is {value}"):
        kind(value)  # type: ignore[call-arg]
    with pytest.raises(UserError, match=f"alpha is {value}"):
        RationalQuadratic(1.0, value)


def test_alpha_survives_the_fit() -> None:
    vectors = torch.tensor([[0.0], [2.0]])
    fitted = RationalQuadratic(MedianBandwidth(0.5), 0.25).fitted(vectors)
    torch.testing.assert_close(
        fitted(vectors, vectors), RationalQuadratic(1.0, 0.25)(vectors, vectors)
    )
