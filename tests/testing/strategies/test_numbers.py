"""Numbers and tensors of them."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ebmlm.testing.strategies import modest_numbers, tensors, wild_numbers
from tests.testing.strategies.occurring import occurring, smallest


@given(modest_numbers())
def test_modest_numbers_are_halves_up_to_three(number: float) -> None:
    assert abs(number) <= 3
    assert (2 * number).is_integer()


@given(wild_numbers())
def test_wild_numbers_are_finite(number: float) -> None:
    assert math.isfinite(number)


@pytest.mark.parametrize(("low", "high"), [(0, 1e-20), (1e3, 1e5), (1e14, 1e16), (0.4, 3.1)])
@pytest.mark.parametrize("sign", [1, -1])
def test_wild_numbers_are_of_every_size_and_sign(low: float, high: float, sign: int) -> None:
    occurring(wild_numbers(), lambda number: low < sign * number < high)


@given(st.lists(st.integers(1, 3), max_size=3), st.data())
def test_tensors_have_their_shape_and_elements(shape: list[int], data: st.DataObject) -> None:
    drawn = data.draw(tensors(shape))
    assert list(drawn.shape) == shape
    assert drawn.dtype == torch.float64
    assert (drawn.abs() <= 3).all()
    seven = data.draw(tensors(shape, st.just(7.0), torch.float32))
    assert seven.dtype == torch.float32
    assert (seven == 7).all()


def test_they_shrink_to_zero() -> None:
    assert smallest(modest_numbers()) == 0
    assert smallest(wild_numbers()) == 0
    assert smallest(tensors((2, 2))).tolist() == [[0, 0], [0, 0]]


def test_tensors_are_not_all_alike() -> None:
    occurring(tensors((2, 3)), lambda drawn: len(set(drawn.flatten().tolist())) == 6)


def test_a_counterexample_is_one_number() -> None:
    def wrong(drawn: Tensor) -> bool:
        return bool((drawn > 1).any())

    found = smallest(tensors((2, 2)).filter(wrong))
    assert sorted(found.flatten().tolist()) == [0, 0, 0, 1.5]
