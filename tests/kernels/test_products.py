"""Kernels of inner products against their formulas."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ebmlm.errors import UserError
from ebmlm.kernels import Linear, Polynomial
from tests.kernels.helpers import assert_semi_definite, gathered, one_pair_at_a_time


@given(gathered())
def test_linear(vectors: Tensor) -> None:
    if vectors.abs().max() < 1e3:
        one_pair_at_a_time(Linear(), vectors, vectors[:2], lambda x, y: float((x * y).sum()))
    assert_semi_definite(Linear()(vectors, vectors))


@given(
    gathered(), st.sampled_from([1, 2, 3]), st.sampled_from([0.0, 1.0]), st.sampled_from([0.5, 2.0])
)
def test_polynomial(vectors: Tensor, degree: int, constant: float, scale: float) -> None:
    kernel = Polynomial(degree, constant, scale)

    def formula(x: Tensor, y: Tensor) -> float:
        return float((scale * (x * y).sum() + constant) ** degree)

    if vectors.abs().max() < 1e3:
        one_pair_at_a_time(kernel, vectors, vectors[:2], formula)
    assert_semi_definite(kernel(vectors, vectors))


def test_a_polynomial_matches_products_of_features() -> None:
    """``(x . y)^2`` is the inner product of all products of two features."""
    left, right = torch.tensor([[1.0, 2.0, -1.0]]), torch.tensor([[0.5, 3.0, 2.0]])
    squares = [torch.outer(vector[0], vector[0]).flatten() for vector in (left, right)]
    found = Polynomial(2, constant=0.0)(left, right)
    assert float(found) == float(squares[0] @ squares[1]) == 20.25


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"degree": 0}, "degree is 0"),
        ({"constant": -1.0}, "constant is -1.0"),
        ({"constant": float("nan")}, "constant is nan"),
        ({"scale": 0.0}, "scale is 0.0"),
    ],
)
def test_options_out_of_range(options: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Polynomial(**options)  # type: ignore[arg-type]
