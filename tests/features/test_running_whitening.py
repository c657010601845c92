"""The running metric: fixed within a step, an average over steps, however a step is cut."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from ebmlm.energies import FeatureMatchingEnergy
from ebmlm.errors import UserError
from ebmlm.features import Features, Metric, MetricWhitening, RunningMetricWhitening, SecondMoment
from ebmlm.rollouts import Scores
from ebmlm.state import alone
from tests.features.maps import given, some_rollouts
from tests.helpers import seeded

ALL = torch.ones(2, 3, dtype=torch.bool)


def _features(seed: int) -> Features:
    rollouts = torch.randn(2, 3, 4, 5, generator=seeded(seed), dtype=torch.float64)
    references = torch.randn(2, 3, 5, generator=seeded(seed + 50), dtype=torch.float64)
    return Features(rollouts, references, (5,))


def _rows(features: Features, mask: Tensor = ALL) -> Tensor:
    assert features.references is not None
    return features.references[mask]


def _row(features: Features, row: int) -> Features:
    assert features.references is not None
    return Features(
        features.rollouts[row : row + 1], features.references[row : row + 1], features.blocks
    )


def _both(parts: list[Tensor], own: Tensor) -> list[Tensor]:
    """What two processes gather."""
    assert any(torch.equal(own, part) for part in parts)
    return parts


def test_the_first_step_leaves_features_as_they_are() -> None:
    whitening, features = RunningMetricWhitening(), _features(0)
    for _ in range(2):
        assert features.references is not None
        rollouts, references = whitening(features, ALL)
        assert torch.equal(rollouts, features.rollouts)
        assert torch.equal(references[:, :, 1], features.references)


def test_later_steps_are_whitened_by_the_average_over_earlier_ones() -> None:
    whitening = RunningMetricWhitening(decay=0.75, shrinkage=0.2)
    steps = [_features(seed) for seed in range(3)]
    for features in steps:
        whitening(features, ALL)
        whitening.end_step(alone)
    dense = [_rows(features).T @ _rows(features) / 6 for features in steps]
    average = 0.75 * (0.75 * dense[0] + 0.25 * dense[1]) + 0.25 * dense[2]
    values, vectors = torch.linalg.eigh(average)
    moment = SecondMoment((values.sqrt() * vectors).T, 0.0, 6.0, 0.0)
    expected = MetricWhitening(Metric(moment, 0.2))(steps[0], ALL)
    found = whitening(steps[0], ALL)
    torch.testing.assert_close(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1])


def test_it_does_not_move_within_a_step() -> None:
    whitening = RunningMetricWhitening()
    whitening(_features(0), ALL)
    whitening.end_step(alone)
    once = whitening(_features(3), ALL)
    twice = whitening(_features(3), ALL)
    assert torch.equal(once[0], twice[0])


def test_micro_batches_and_processes_give_the_same_metric() -> None:
    whole, cut, processes = (RunningMetricWhitening(0.5) for _ in range(3))
    other = RunningMetricWhitening(0.5)
    mask = torch.tensor([[True, False, True], [True, True, False]])
    for seed in range(3):
        features = _features(seed)
        whole(features, mask)
        whole.end_step(alone)
        for row in range(2):
            cut(_row(features, row), mask[row : row + 1])
        cut.end_step(alone)
        processes(_row(features, 0), mask[:1])
        other(_row(features, 1), mask[1:])
        both = [_rows(_row(features, row), mask[row : row + 1]) for row in range(2)]
        processes.end_step(partial(_both, both))
        other.end_step(partial(_both, both))
    expected = whole(_features(9), ALL)[0]
    for one in (cut, processes, other):
        torch.testing.assert_close(one(_features(9), ALL)[0], expected)


def test_a_step_without_references_changes_nothing() -> None:
    whitening = RunningMetricWhitening()
    whitening(_features(0), ALL)
    whitening.end_step(alone)
    before = whitening(_features(1), torch.zeros_like(ALL))[0]
    whitening.end_step(alone)
    assert torch.equal(whitening(_features(1), ALL)[0], before)


def test_blocks_have_averages_of_their_own() -> None:
    whitening = RunningMetricWhitening()
    energy = FeatureMatchingEnergy(given(5, blocks=(2, 3)), whitening=whitening)
    rollouts = some_rollouts()
    for _ in range(2):
        energy(rollouts, Scores(rollouts.log_probs))
        whitening.end_step(alone)
    assert {
        name: tuple(value.shape) for name, value in whitening.state().items() if value.ndim
    } == {
        "block0.factor": (2, 2),
        "block1.factor": (3, 3),
    }


def test_what_is_restored_whitens_alike() -> None:
    whitening = RunningMetricWhitening(rank=2)
    for seed in range(3):
        whitening(_features(seed), ALL)
        whitening.end_step(alone)
    other = RunningMetricWhitening(rank=2)
    other.restore(whitening.state())
    for seed in range(3, 5):
        ours, theirs = whitening(_features(seed), ALL)[0], other(_features(seed), ALL)[0]
        assert torch.equal(ours, theirs)
        whitening.end_step(alone)
        other.end_step(alone)
    assert RunningMetricWhitening().state() == {}


def test_a_loop_that_never_ends_its_steps_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ebmlm.features.running_whitening._MOST_CALLS", 3)
    whitening = RunningMetricWhitening()
    for _ in range(3):
        whitening(_features(0), ALL)
    with pytest.raises(UserError, match=r"call objective\.end_step\(\)"):
        whitening(_features(0), ALL)


def test_options_out_of_range() -> None:
    for decay in (-0.1, 1.0, float("nan")):
        with pytest.raises(UserError, match=f"decay is {decay}"):
            RunningMetricWhitening(decay)
    with pytest.raises(UserError, match="rank is 0"):
        RunningMetricWhitening(rank=0)
    with pytest.raises(UserError, match="shrinkage is 0"):
        RunningMetricWhitening(shrinkage=0.0)
