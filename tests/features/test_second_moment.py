"""Second moments as low rank and a remainder, against dense matrices."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ebmlm.features import Metric, SecondMoment
from tests.helpers import seeded


def _rows(count: int, width: int, seed: int = 0) -> Tensor:
    rows = torch.randn(count, width, generator=seeded(seed), dtype=torch.float64)
    return rows * torch.linspace(0.3, 2, width, dtype=torch.float64)


def _dense(moment: SecondMoment) -> Tensor:
    """The matrix that a moment stands for."""
    directions = moment.directions
    projector = torch.eye(moment.size, dtype=torch.float64) - directions.T @ directions
    return moment.factor.T @ moment.factor + moment.elsewhere * projector


@pytest.mark.parametrize(("count", "width"), [(30, 6), (4, 9), (1, 5), (6, 6)])
def test_at_full_rank_it_is_the_matrix(count: int, width: int) -> None:
    rows = _rows(count, width)
    moment = SecondMoment.of(rows)
    expected = rows.T @ rows / count
    torch.testing.assert_close(moment.factor.T @ moment.factor, expected)
    assert len(moment.factor) == min(count, width)
    assert moment.remainder == 0 and moment.elsewhere == 0
    assert moment.trace == pytest.approx(float(expected.trace()))
    assert moment.square == pytest.approx(float(expected.square().sum()))
    assert moment.count == count
    assert moment.fourth == pytest.approx(float(rows.square().sum(-1).square().mean()))


def test_cut_off_directions_keep_their_trace() -> None:
    rows = _rows(30, 6)
    moment = SecondMoment.of(rows, rank=2)
    dense = rows.T @ rows / 30
    values = torch.linalg.eigvalsh(dense).flip(0)
    torch.testing.assert_close(moment.values, values[:2])
    assert moment.trace == pytest.approx(float(values.sum()))
    assert moment.elsewhere == pytest.approx(float(values[2:].mean()))
    assert moment.square == pytest.approx(float(_dense(moment).square().sum()))


def test_the_mean_of_moments_is_that_of_all_vectors() -> None:
    parts = [_rows(4, 7, 1), _rows(5, 7, 2), _rows(1, 7, 3)]
    weights = [len(part) / 10 for part in parts]
    whole = SecondMoment.of(torch.cat(parts))
    mean = SecondMoment.mean([SecondMoment.of(part) for part in parts], weights)
    torch.testing.assert_close(_dense(mean), _dense(whole))
    assert mean.count == pytest.approx(10)
    assert mean.fourth == pytest.approx(whole.fourth)


def test_unequal_weights_are_worth_fewer_vectors() -> None:
    one = SecondMoment.of(_rows(8, 3))
    assert SecondMoment.mean([one, one], [0.9, 0.1]).count == pytest.approx(8 / 0.82)


def test_zero_vectors_have_no_direction() -> None:
    moment = SecondMoment.of(torch.zeros(3, 4))
    assert moment.trace == 0
    assert len(moment.factor) == 0


@pytest.mark.parametrize("rank", [1, 3, 6])
@pytest.mark.parametrize("shrinkage", [0.05, 0.5])
def test_a_metric_of_low_rank_is_the_dense_inverse_root(rank: int, shrinkage: float) -> None:
    moment = SecondMoment.of(_rows(30, 6), rank)
    dense = _dense(moment)
    shrunk = (1 - shrinkage) * dense
    shrunk += shrinkage * dense.trace() / 6 * torch.eye(6, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(shrunk)
    root = vectors @ torch.diag(values.rsqrt()) @ vectors.T
    root = root / 6**0.5
    torch.testing.assert_close((root @ shrunk @ root).trace(), torch.ones(()).double())
    other = torch.randn(4, 6, generator=seeded(9), dtype=torch.float64)
    torch.testing.assert_close(Metric(moment, shrinkage)(other), other @ root)
