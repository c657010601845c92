"""Partition functions: unbiased, with the error that is stated."""

from __future__ import annotations

import math

import pytest
import torch

from ebmlm.rollouts import Rollouts, Scores
from ebmlm.targets import (
    EnergyModel,
    FixedPartition,
    GroupPartition,
    LeaveOneOutPartition,
    estimate_partition,
)
from tests.exact import Toy, expectation
from tests.helpers import seeded
from tests.targets.toys import TOYS, exact, target


def _drawn(model: EnergyModel, rollouts: Rollouts, scores: Scores) -> torch.Tensor:
    """Log weights of rollouts that the policy drew."""
    import dataclasses

    return model.log_weights(dataclasses.replace(rollouts, log_probs=scores.policy))


@pytest.mark.parametrize("samples", [1, 2, 3])
@pytest.mark.parametrize("name", TOYS)
def test_the_partition_function_is_unbiased(name: str, samples: int) -> None:
    """Its exact expectation over all groups of what another policy draws."""
    toy = TOYS[name]
    model = target(toy)
    _, log_partition = exact(toy, model)

    def value(rollouts: Rollouts, scores: Scores) -> torch.Tensor:
        weights = _drawn(model, rollouts, scores)
        return estimate_partition(weights).log_partition[:, 0].exp()

    found = expectation(toy, samples, value)
    torch.testing.assert_close(found, log_partition.exp(), atol=1e-10, rtol=0)


def test_a_constraint_leaves_it_unbiased_and_groups_without_weight_have_none() -> None:
    toy = Toy()
    model = target(toy, forbidden=(0, 3))
    _, log_partition = exact(toy, model)

    def value(rollouts: Rollouts, scores: Scores) -> torch.Tensor:
        found = estimate_partition(_drawn(model, rollouts, scores))
        assert not found.standard_error.isnan().any()
        nothing = found.log_partition == -torch.inf
        assert nothing.any()
        assert (found.effective_samples[nothing] == 0).all()
        return found.log_partition[:, 0].exp()

    torch.testing.assert_close(expectation(toy, 2, value), log_partition.exp(), atol=1e-10, rtol=0)


def test_the_standard_error_is_the_delta_methods() -> None:
    weights = torch.rand(1, 1, 50, generator=seeded(0), dtype=torch.float64) + 0.1
    found = estimate_partition(weights.log())
    expected = weights.std() / weights.mean() / 50**0.5
    assert float(found.standard_error) == pytest.approx(float(expected), rel=1e-12)
    effective = weights.sum() ** 2 / weights.square().sum()
    assert float(found.effective_samples) == pytest.approx(float(effective), rel=1e-12)
    low, high = found.interval(2.0)
    assert float(high - low) == pytest.approx(4 * float(expected))
    assert estimate_partition(weights.log()[..., :1]).standard_error == torch.inf


def test_intervals_cover() -> None:
    """Of 1,000 intervals of 95 % from 200 draws each, within 4 standard deviations."""
    draws = torch.randn(1000, 1, 200, generator=seeded(1), dtype=torch.float64) * 0.5
    low, high = estimate_partition(draws).interval()
    truth = 0.5**2 / 2
    covered = float(((low < truth) & (truth < high)).double().mean())
    assert abs(covered - 0.95) < 4 * (0.95 * 0.05 / 1000) ** 0.5 + 0.01


def test_partitions_of_a_group() -> None:
    weights = torch.tensor([[[1.0, 2.0, 6.0]]], dtype=torch.float64)
    group = GroupPartition()(weights.log()).exp()
    assert group.flatten().tolist() == pytest.approx([3.0, 3.0, 3.0])
    others = LeaveOneOutPartition()(weights.log()).exp()
    assert others.flatten().tolist() == pytest.approx([4.0, 3.5, 1.5])
    fixed = FixedPartition(math.log(2))(weights.log()).exp()
    assert fixed.flatten().tolist() == pytest.approx([2.0, 2.0, 2.0])
    assert LeaveOneOutPartition().minimum_samples == 2
    assert GroupPartition().bias and LeaveOneOutPartition().bias and not FixedPartition().bias
