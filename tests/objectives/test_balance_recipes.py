"""Balance with a target by name: what the recipe puts together."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch

from ebmlm.energies import Energy, LengthEnergy
from ebmlm.errors import UserError
from ebmlm.estimators import LogVariance
from ebmlm.language_model import LanguageModel
from ebmlm.objectives.balance_recipes import Replay, log_variance
from ebmlm.rollouts import SequenceBatch
from ebmlm.samplers import BlockParallelSampler, ReplaySampler, StridedAnchors, UniformPriority
from ebmlm.targets import DensityPriority
from ebmlm.testing import TabularLanguageModel
from ebmlm.texts import Texts
from tests.helpers import seeded

TEXTS = Texts(cast(Any, None), {})
SHAPE: dict[str, Any] = {"anchors": StridedAnchors(2, 2), "horizon": 3, "samples": 2}


def length(model: LanguageModel, texts: Texts) -> Energy:
    return LengthEnergy(1)


def table() -> TabularLanguageModel:
    return TabularLanguageModel(5, 2, end_tokens=(4,), generator=seeded(0))


def test_fresh_rollouts_alone_are_the_policys() -> None:
    objective = log_variance(table(), TEXTS, energy=length, temperature=2.0, **SHAPE)
    assert isinstance(objective.sampler, BlockParallelSampler)
    assert isinstance(objective.estimator, LogVariance)
    assert objective.sampler.on_policy


@pytest.mark.parametrize("temperature", [None, 2.0])
def test_replay_stands_beside_them_and_lowers_the_variance(temperature: float | None) -> None:
    model = table()
    replay = Replay(2, per_anchor=4, capacity=100, priority_temperature=temperature)
    objective = log_variance(model, TEXTS, energy=length, temperature=0.5, replay=replay, **SHAPE)
    sampler = objective.sampler
    assert isinstance(sampler, ReplaySampler) and sampler.samples == 4
    chosen = UniformPriority if temperature is None else DensityPriority
    assert isinstance(sampler.priority, chosen)
    batch = SequenceBatch.of(torch.randint(4, (8, 12), generator=seeded(1)))
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    found = []
    for step in range(40):
        estimate = objective.loss(model, batch, generator=seeded(step))
        optimiser.zero_grad()
        estimate.loss.backward()
        optimiser.step()
        objective.end_step()
        found.append(float(estimate.metrics["log_variance"]))
    assert 0 < len(sampler.buffer) <= 100
    assert sum(found[-5:]) < 0.2 * sum(found[:5])


def test_what_is_refused() -> None:
    with pytest.raises(UserError, match="1 sample per anchor: LogVariance needs at least 2"):
        log_variance(table(), TEXTS, energy=length, **{**SHAPE, "samples": 1})
    with pytest.raises(UserError, match="capacity is 0"):
        log_variance(table(), TEXTS, energy=length, replay=Replay(capacity=0), **SHAPE)
