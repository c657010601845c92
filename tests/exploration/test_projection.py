"""Principal components against eigenvectors of the covariance matrix, written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ebmlm.errors import UserError
from ebmlm.exploration import Projection
from tests.helpers import seeded


def vectors(rows: int = 9, features: int = 5) -> Tensor:
    scale = torch.tensor([3.0, 0.2, 1.7, 0.9, 0.5, 1.1, 0.3])[:features]
    return 4 + scale * torch.randn(rows, features, dtype=torch.float64, generator=seeded(0))


def naive(rows: Tensor, components: int) -> tuple[Tensor, Tensor]:
    """Coordinates by the covariance's eigenvectors, and all shares of the variance."""
    mean = rows.mean(0)
    covariance = torch.zeros(rows.shape[1], rows.shape[1], dtype=rows.dtype)
    for row in rows:
        covariance += torch.outer(row - mean, row - mean)
    values, axes = torch.linalg.eigh(covariance)
    order = values.argsort(descending=True)
    found = []
    for place in order[:components].tolist():
        axis = axes[:, place]
        if axis[axis.abs().argmax()] < 0:
            axis = -axis
        found.append((rows - mean) @ axis)
    return torch.stack(found, dim=1), values[order] / values.sum()


@pytest.mark.parametrize("shape", [(9, 5), (4, 7), (30, 2), (3, 3)])
def test_coordinates_and_shares_are_those_of_the_covariance(shape: tuple[int, int]) -> None:
    rows = vectors(*shape)
    plane = Projection.fitted(rows)
    coordinates, shares = naive(rows, 2)
    torch.testing.assert_close(plane(rows), coordinates)
    count = min(len(plane.shares), len(shares))
    torch.testing.assert_close(plane.shares[:count], shares[:count])
    assert float(plane.shares.sum()) == pytest.approx(1)


def test_turning_the_vectors_round_turns_the_plane_round() -> None:
    rows = vectors()
    plane, other = Projection.fitted(rows), Projection.fitted(-rows)
    torch.testing.assert_close(other.axes, plane.axes)
    torch.testing.assert_close(other(-rows), -plane(rows))
    assert (plane.axes.gather(1, plane.axes.abs().argmax(1, keepdim=True)) > 0).all()


def test_directions_that_do_not_exist_are_zero() -> None:
    line = torch.outer(torch.arange(5.0), torch.tensor([1.0, -2.0, 2.0])) + 1000
    plane = Projection.fitted(line)
    assert plane.shares.tolist() == pytest.approx([1, 0, 0])
    points = plane(line)
    assert not points[:, 1].any()
    assert points[:, 0].diff().abs().tolist() == pytest.approx([3] * 4)

    alike = Projection.fitted(torch.full((4, 3), 0.1))
    assert not alike.shares.any()
    assert not alike(torch.full((4, 3), 0.1)).any()

    narrow = Projection.fitted(torch.tensor([[1.0], [2.0], [4.0]]))
    assert narrow(torch.tensor([[4.0]])).tolist() == [[pytest.approx(5 / 3), 0.0]]


def test_what_cannot_be_projected_is_refused() -> None:
    with pytest.raises(UserError, match="no vector"):
        Projection.fitted(torch.zeros(0, 3))
    with pytest.raises(UserError, match="not finite"):
        Projection.fitted(torch.tensor([[1.0, float("nan")], [0.0, 1.0]]))
