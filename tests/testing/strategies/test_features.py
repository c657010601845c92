"""Feature vectors of every awkward kind, and of none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ebmlm.testing.strategies import feature_vectors, features
from tests.testing.strategies.occurring import occurring, smallest


@given(st.integers(1, 3), st.integers(0, 2), st.integers(1, 4), st.data())
def test_features_keep_to_their_sizes(
    fewest: int, more: int, width: int, data: st.DataObject
) -> None:
    drawn = data.draw(features(fewest, fewest + more, width))
    *groups, samples, found = drawn.rollouts.shape
    assert fewest <= samples <= fewest + more
    assert 1 <= found <= width
    assert sum(drawn.blocks) == found
    assert min(drawn.blocks) > 0
    assert drawn.references is not None
    assert drawn.references.shape == (*groups, found)
    assert drawn.rollouts.dtype == drawn.references.dtype == torch.float64
    assert drawn.rollouts.isfinite().all()


def rank(vectors: Tensor) -> int:
    """Of vectors (sample, feature) of any length."""
    return int(torch.linalg.matrix_rank(vectors / vectors.abs().max())) if vectors.any() else 0


def alike(vectors: Tensor) -> bool:
    return len({tuple(vector) for vector in vectors.tolist()}) < len(vectors)


KINDS: dict[str, Callable[[Tensor], object]] = {
    "ordinary": lambda found: rank(found) == 3 and 0.1 < found.abs().max() < 10,
    "of rank one, though distinct": lambda found: rank(found) == 1 and not alike(found),
    "two alike": lambda found: alike(found) and rank(found) > 1,
    "all alike": lambda found: found.any() and (found == found[0]).all(),
    "tiny": lambda found: 0 < found.abs().max() < 1e-10,
    "huge": lambda found: found.abs().max() > 1e10,
    "nothing": lambda found: not found.any(),
    "one of them nothing": lambda found: found.any() and (found == 0).all(-1).any(),
    "opposites": lambda found: (
        (found.unsqueeze(0) == -found.unsqueeze(1)).all(-1) & found.any(-1)
    ).any(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_vectors_occurs(kind: str) -> None:
    occurring(feature_vectors(3, 4), KINDS[kind])


BATCHES: dict[str, Callable[[Any], object]] = {
    "two blocks": lambda drawn: len(drawn.blocks) == 2,
    "one block": lambda drawn: len(drawn.blocks) == 1,
    "more samples than features": lambda drawn: drawn.rollouts.shape[2] > drawn.rollouts.shape[3],
    "more features than samples": lambda drawn: drawn.rollouts.shape[2] < drawn.rollouts.shape[3],
    "groups of different sizes": lambda drawn: (
        drawn.rollouts.abs().amax((-1, -2)).max() > 1e10
        and drawn.rollouts.abs().amax((-1, -2)).min() < 10
    ),
    "a reference that is a rollout": lambda drawn: (
        (drawn.rollouts == drawn.references.unsqueeze(2)).all(-1) & drawn.rollouts.any(-1)
    ).any(),
    "no reference to speak of": lambda drawn: (
        (drawn.references == 0).all(-1) & drawn.rollouts.any(-1).any(-1)
    ).any(),
}


@pytest.mark.parametrize("kind", BATCHES)
def test_every_kind_of_features_occurs(kind: str) -> None:
    occurring(features(), BATCHES[kind])


def test_they_shrink_to_two_samples_of_one_feature() -> None:
    drawn = smallest(features())
    assert drawn.rollouts.tolist() == [[[[0], [0]]]]
    assert drawn.references is not None
    assert drawn.references.tolist() == [[[0]]]
    assert drawn.blocks == (1,)
