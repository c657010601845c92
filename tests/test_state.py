"""Parts with a state are found wherever they stand, saved and restored."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from ebmlm.energies import FeatureMatchingEnergy, KLEnergy
from ebmlm.errors import UserError
from ebmlm.estimators import RLOO
from ebmlm.features import HiddenStateFeatures, RunningMetricWhitening
from ebmlm.objectives import PolicyObjective
from ebmlm.samplers import BlockParallelSampler
from ebmlm.state import Gather, Stateful, alone, gather_state, restore_state, stateful_parts
from ebmlm.testing import TabularLanguageModel


class Counter(Stateful):
    def __init__(self) -> None:
        self.count = 0
        self.inner: Counter | None = None

    def end_step(self, gather: Gather) -> None:
        self.count += len(gather(torch.zeros(1)))

    def state(self) -> dict[str, Tensor]:
        return {"count": torch.tensor(self.count)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.count = int(state["count"])


def test_they_are_found_by_the_path_to_them() -> None:
    first, second, third = Counter(), Counter(), Counter()
    part = SimpleNamespace(one=first, several=[1, (second,)], named={"x": third, "again": first})
    part.itself = part
    assert stateful_parts(part) == {"one": first, "several.1.0": second, "named.x": third}
    assert stateful_parts(first) == {"objective": first}
    assert stateful_parts(torch.nn.Linear(2, 2)) == {}


def test_a_part_inside_an_objective_is_told_of_the_end_of_a_step() -> None:
    model = TabularLanguageModel(3, 2, hidden=3)
    features = HiddenStateFeatures(model.frozen())
    whitening, other = RunningMetricWhitening(), RunningMetricWhitening()
    energy = 0.5 * FeatureMatchingEnergy(features, whitening=whitening) + FeatureMatchingEnergy(
        features, whitening=other
    )
    energy = energy + KLEnergy()
    sampler = BlockParallelSampler(samples=3)
    objective = PolicyObjective(sampler, energy, RLOO(), reference=model.frozen())
    assert list(stateful_parts(objective).values()) == [whitening, other]


def test_state_goes_out_and_comes_back() -> None:
    part = SimpleNamespace(a=Counter(), b=[Counter()])
    part.a.end_step(alone)
    part.a.end_step(alone)
    part.b[0].end_step(alone)
    state = gather_state(part)
    assert {name: int(value) for name, value in state.items()} == {"a/count": 2, "b.0/count": 1}
    fresh = SimpleNamespace(a=Counter(), b=[Counter()])
    restore_state(fresh, state)
    assert (fresh.a.count, fresh.b[0].count) == (2, 1)
    with pytest.raises(UserError, match=r"state of b\.0 and this objective has no such part \(a\)"):
        restore_state(SimpleNamespace(a=Counter()), state)
