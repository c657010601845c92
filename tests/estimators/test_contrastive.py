from __future__ import annotations

import math

import pytest
import torch

from ebmlm.errors import UserError
from ebmlm.estimators import (
    BinaryNCE,
    Contrast,
    EnergyMagnitude,
    PhaseDifference,
    RankingNCE,
)


def contrast(real: float, negatives: list[float], real_ratio: float = 0.0) -> Contrast:
    others = torch.tensor([[negatives]], dtype=torch.float64)
    return Contrast(
        torch.tensor([[real]], dtype=torch.float64),
        others,
        torch.tensor([[real_ratio]], dtype=torch.float64),
        torch.zeros_like(others),
    )


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_the_binary_form_by_hand() -> None:
    found = BinaryNCE()(contrast(-1.0, [2.0, 0.5], real_ratio=0.25))
    log_two = math.log(2)
    expected = -math.log(sigmoid(1.25 - log_two))
    expected -= math.log(sigmoid(2.0 + log_two)) + math.log(sigmoid(0.5 + log_two))
    assert float(found.losses) == pytest.approx(expected, abs=1e-12)
    assert float(found.metrics["nce_accuracy"]) == 1


def test_the_ranking_form_by_hand() -> None:
    found = RankingNCE()(contrast(-1.0, [2.0, -3.0]))
    expected = math.log(math.exp(1) + math.exp(-2) + math.exp(3)) - 1
    assert float(found.losses) == pytest.approx(expected, abs=1e-12)
    assert float(found.metrics["ranking_accuracy"]) == 0.5


def test_phases_and_magnitude_by_hand() -> None:
    given = contrast(-1.0, [2.0, -3.0])
    loss = 2 * PhaseDifference() + EnergyMagnitude(0.1)
    found = loss(given)
    assert float(found.losses) == pytest.approx(2 * (-1 + 0.5) + 0.1 * (1 + 6.5) / 2, abs=1e-12)
    assert set(found.metrics) == {"phase_difference", "energy_square"}


def test_ties_count_half() -> None:
    metrics = BinaryNCE()(contrast(0.0, [0.0, 1.0])).metrics
    assert float(metrics["nce_accuracy"]) == pytest.approx((0.5 + 0.75) / 2)
    assert float(metrics["ranking_accuracy"]) == pytest.approx(0.75)


@pytest.mark.parametrize("coefficient", [-1.0, float("inf"), float("nan")])
def test_a_coefficient_out_of_range_is_refused(coefficient: float) -> None:
    with pytest.raises(UserError, match="coefficient"):
        EnergyMagnitude(coefficient)
