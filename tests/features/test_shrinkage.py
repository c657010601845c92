"""How far a second moment is shrunk."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ebmlm.errors import UserError
from ebmlm.features import FixedShrinkage, LedoitWolf, Metric, SecondMoment
from tests.helpers import seeded


def _share_by_the_definition(rows: Tensor) -> float:
    """b^2 / d^2 of Ledoit and Wolf 2004, matrix by matrix."""
    count, width = rows.shape
    moment = rows.T @ rows / count
    middle = moment.trace() / width * torch.eye(width, dtype=torch.float64)
    distance = (moment - middle).square().sum()
    spread = sum((torch.outer(x, x) - moment).square().sum() for x in rows) / count**2
    return float(min(torch.as_tensor(spread), distance) / distance)


@pytest.mark.parametrize(("count", "width"), [(50, 4), (10, 12), (200, 8), (3, 30)])
def test_ledoit_wolf_is_its_definition(count: int, width: int) -> None:
    rows = torch.randn(count, width, generator=seeded(count), dtype=torch.float64)
    rows = rows * torch.linspace(0.2, 3, width, dtype=torch.float64)
    found = LedoitWolf(1e-9)(SecondMoment.of(rows))
    assert found == pytest.approx(_share_by_the_definition(rows), rel=1e-9)


def test_ledoit_wolf_is_nearer_the_truth_than_no_shrinkage_and_than_most() -> None:
    """Mean squared error over 200 draws of 12 vectors in 16 dimensions."""
    truth = torch.diag(torch.linspace(0.5, 2, 16, dtype=torch.float64))
    errors = {"none": 0.0, "all": 0.0, "ours": 0.0}
    for seed in range(200):
        draws = torch.randn(12, 16, generator=seeded(seed), dtype=torch.float64) @ truth.sqrt()
        dense = draws.T @ draws / 12
        middle = dense.trace() / 16 * torch.eye(16, dtype=torch.float64)
        share = LedoitWolf()(SecondMoment.of(draws))
        for name, used in (("none", 0.0), ("all", 1.0), ("ours", share)):
            errors[name] += float(((1 - used) * dense + used * middle - truth).square().sum())
    assert errors["ours"] < 0.3 * errors["none"]
    assert errors["ours"] < 1.1 * errors["all"]


def test_what_is_a_multiple_of_the_identity_already_is_shrunk_all_the_way() -> None:
    assert LedoitWolf()(SecondMoment.of(torch.eye(4) * 2)) == 1.0


def test_the_least_share_holds() -> None:
    rows = torch.zeros(1000, 3, dtype=torch.float64)
    rows[:, 0] = 1
    assert LedoitWolf(0.02)(SecondMoment.of(rows)) == 0.02
    assert Metric.of(rows, LedoitWolf(0.02)).shrinkage == 0.02
    assert FixedShrinkage(0.3)(SecondMoment.of(rows)) == 0.3


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5, float("nan")])
def test_shares_out_of_range(share: float) -> None:
    with pytest.raises(UserError, match=f"shrinkage is {share}"):
        FixedShrinkage(share)
    with pytest.raises(UserError, match=f"least is {share}"):
        LedoitWolf(share)
