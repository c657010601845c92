"""What kernels are held against."""

from __future__ import annotations

from collections.abc import Callable

import torch
from hypothesis import strategies as st
from torch import Tensor

from ebmlm.features import FeatureMap, HiddenStateFeatures
from ebmlm.kernels import KernelValues, VectorKernel
from ebmlm.rollouts import Rollouts
from ebmlm.testing import TabularLanguageModel
from ebmlm.testing.strategies import feature_vectors
from tests.helpers import seeded


def table_features(**options: object) -> FeatureMap:
    """Features of a table of three tokens."""
    table = TabularLanguageModel(3, 4, hidden=3, generator=seeded(0))
    return HiddenStateFeatures(table.frozen(), **options)  # type: ignore[arg-type]


def assert_semi_definite(gram: Tensor) -> None:
    """Symmetric, and no eigenvalue below what rounding leaves of zero."""
    largest = max(1.0, float(gram.abs().max()))
    torch.testing.assert_close(gram, gram.mT, atol=1e-12 * largest, rtol=0)
    assert float(torch.linalg.eigvalsh(gram).min()) >= -1e-9 * largest


@st.composite
def gathered(draw: st.DrawFn, most: int = 6) -> Tensor:
    """Vectors (row, feature) of every awkward kind: of low rank, alike, tiny, huge, or zero."""
    return draw(feature_vectors(draw(st.integers(2, most)), draw(st.integers(1, 4))))


def one_pair_at_a_time(
    kernel: VectorKernel, left: Tensor, right: Tensor, formula: Callable[[Tensor, Tensor], float]
) -> None:
    """A kernel between two sets against its formula."""
    found = kernel(left, right)
    assert found.shape == (len(left), len(right))
    expected = torch.tensor([[formula(x, y) for y in right] for x in left], dtype=left.dtype)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)


def strings_of(rollouts: Rollouts, row: int, place: int) -> list[list[int]]:
    """The tokens that count of each rollout of an anchor, and last of its real continuation."""
    if not rollouts.anchor_mask[row, place]:
        return [[]] * (rollouts.samples + 1)
    found = [
        rollouts.completions[row, place, number][rollouts.completion_mask[row, place, number]]
        for number in range(rollouts.samples)
    ]
    found.append(rollouts.references[row, place][rollouts.reference_mask[row, place]])
    return [tokens.tolist() for tokens in found]


def assert_string_kernel(
    rollouts: Rollouts, values: KernelValues, twin: Callable[[list[int], list[int]], float]
) -> None:
    """A kernel of strings against its naive twin, and positive semi-definite."""
    gram = values.gram()
    for row in range(gram.shape[0]):
        for place in range(gram.shape[1]):
            strings = strings_of(rollouts, row, place)
            expected = torch.tensor(
                [[twin(x, y) for y in strings] for x in strings], dtype=torch.float64
            )
            torch.testing.assert_close(gram[row, place], expected, atol=1e-12, rtol=1e-12)
            assert_semi_definite(gram[row, place])
