"""Effective numbers where they can be counted."""

from __future__ import annotations

import math

import pytest
import torch

from ebmlm.exploration.effective import cosines, effective_number, effective_rollouts
from tests.helpers import seeded


def test_equal_weights_are_as_many_as_they_are() -> None:
    weights = torch.tensor([[2.0, 2.0, 2.0, 2.0], [5.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    assert effective_number(weights).tolist() == pytest.approx([4, 1, 0])
    half = math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert float(effective_number(torch.tensor([3.0, 1.0]))) == pytest.approx(half)


def test_cosines_are_those_of_every_pair() -> None:
    vectors = torch.randn(2, 4, 3, dtype=torch.float64, generator=seeded(1))
    vectors[1, 2] = 0
    found = cosines(vectors)
    for group in range(2):
        for i in range(4):
            for j in range(4):
                left, right = vectors[group, i], vectors[group, j]
                lengths = float(left.norm() * right.norm())
                expected = float(left @ right) / lengths if lengths else 0.0
                assert float(found[group, i, j]) == pytest.approx(expected, abs=1e-12)


def test_rollouts_are_counted_as_features_tell_them_apart() -> None:
    distinct = torch.eye(4, 6)
    assert float(effective_rollouts(distinct)) == pytest.approx(4)
    assert float(effective_rollouts(7 * distinct)) == pytest.approx(4)
    pairs = distinct[[0, 0, 1, 1]]
    assert float(effective_rollouts(pairs)) == pytest.approx(2)
    assert float(effective_rollouts(distinct[[2, 2, 2]])) == pytest.approx(1)
    near = distinct[[0, 0]] + torch.tensor([[0.0], [0.1]])
    assert 1 < float(effective_rollouts(near)) < 1.2
