"""Layers by number and by depth."""

from __future__ import annotations

import pytest

from ebmlm.errors import UserError
from ebmlm.features import Depths, LayerIndices


@pytest.mark.parametrize(
    ("indices", "expected"),
    [((0,), (0,)), ((3, 1), (3, 1)), ((-1,), (4,)), ((-5, -2), (0, 3)), ((4, 4), (4, 4))],
)
def test_indices_of_four_layers(indices: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert LayerIndices(indices)(4) == expected


@pytest.mark.parametrize("index", [5, -6, 100])
def test_an_index_that_is_not_there(index: int) -> None:
    with pytest.raises(
        UserError, match=rf"layer {index}: this network has layers 0 to 4 .*-5 to -1"
    ):
        LayerIndices([index])(4)


@pytest.mark.parametrize(
    ("fractions", "count", "expected"),
    [
        ((0.25, 0.5, 0.75), 4, (1, 2, 3)),
        ((0.25, 0.5, 0.75), 30, (7, 15, 22)),
        ((0.0, 1.0), 12, (0, 12)),
        ((0.5,), 3, (1,)),
        # What 0.29 times 100 is in floating point does not matter.
        ((0.29, 0.57, 0.58), 100, (29, 57, 58)),
    ],
)
def test_depths(fractions: tuple[float, ...], count: int, expected: tuple[int, ...]) -> None:
    assert Depths(fractions)(count) == expected


def test_the_papers_depths_are_the_default() -> None:
    assert Depths()(32) == (8, 16, 24)


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_depths_out_of_range(fraction: float) -> None:
    with pytest.raises(UserError, match="must be a fraction from 0 to 1"):
        Depths([0.5, fraction])


def test_no_layer_is_refused() -> None:
    with pytest.raises(UserError, match="no layer index"):
        LayerIndices([])
    with pytest.raises(UserError, match="no depth"):
        Depths([])
