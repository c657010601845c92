"""Numbers that are easy to read when a test fails."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor

__all__ = ["modest_numbers", "tensors", "wild_numbers"]


def modest_numbers() -> SearchStrategy[float]:
    """Halves from -3 to 3; shrink to 0."""
    return st.integers(-6, 6).map(lambda number: number / 2)


def wild_numbers() -> SearchStrategy[float]:
    """Modest numbers, and very large and very small ones of either sign."""
    extreme = [1e-30, 1e-8, 1e4, 1e15, -1e-30, -1e-8, -1e4, -1e15]
    return st.one_of(modest_numbers(), st.sampled_from(extreme))


def tensors(
    shape: Sequence[int],
    elements: SearchStrategy[float] | None = None,
    dtype: torch.dtype = torch.float64,
) -> SearchStrategy[Tensor]:
    """Tensors of a shape, of :func:`modest_numbers` unless other elements are given."""
    size = torch.Size(shape).numel()
    values = st.lists(
        modest_numbers() if elements is None else elements, min_size=size, max_size=size
    )
    return values.map(lambda numbers: torch.tensor(numbers, dtype=dtype).view(tuple(shape)))
