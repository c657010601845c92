"""Twists of hard constraints."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch

from ebmlm.energies import ConstraintEnergy
from ebmlm.errors import UserError
from ebmlm.rollouts import SequenceBatch
from ebmlm.samplers import BlockParallelSampler, StridedAnchors
from ebmlm.targets import EnergyModel
from ebmlm.targets.samplers import SequentialMonteCarlo, StillPossible
from ebmlm.testing import TabularLanguageModel
from ebmlm.texts import Attempt, Texts
from tests.helpers import seeded


class _Digits:
    def decode(self, tokens: list[int], **options: Any) -> str:
        return "".join(map(str, tokens))


TEXTS = Texts(cast(Any, _Digits()), {})


def holds(attempt: Attempt) -> bool:
    return "2" not in attempt.completion


def particles(twist: StillPossible | None) -> SequentialMonteCarlo:
    start = BlockParallelSampler(StridedAnchors(3, 2), 6, 16)
    return SequentialMonteCarlo(start, 4, block=1, twist=twist)


def test_what_may_not_hold_dies_on_the_way() -> None:
    model = TabularLanguageModel(3, 2, generator=seeded(0))
    target = EnergyModel(model, ConstraintEnergy(holds, TEXTS))
    batch = SequenceBatch.of(torch.randint(3, (20, 12), generator=seeded(1)))
    found = {}
    for name, twist in {"none": None, "possible": StillPossible(holds, TEXTS)}.items():
        drawn = particles(twist).draw(target, batch, generator=seeded(2))
        found[name] = drawn.diagnostics
        # With it, some particle of sixteen is left at every anchor.
        if twist is not None:
            assert int(drawn.diagnostics["ruled_out"].sum()) == 0
    assert (
        found["possible"]["effective_samples"].mean()
        > 2 * found["none"]["effective_samples"].mean()
    )
    assert found["possible"]["resamplings"].mean() > 1


def test_a_penalty_is_finite() -> None:
    model = TabularLanguageModel(3, 2, generator=seeded(0))
    target = EnergyModel(model, ConstraintEnergy(holds, TEXTS))
    batch = SequenceBatch.of(torch.randint(3, (2, 12), generator=seeded(1)))
    rollouts = BlockParallelSampler(StridedAnchors(3, 2), 3, 8).sample(
        model, batch, generator=seeded(0)
    )
    allowed = (rollouts.completions != 2).all(-1)
    twist = StillPossible(holds, TEXTS, penalty=5.0)(target, rollouts)
    expected = torch.where(allowed, 0.0, -5.0)
    valid = rollouts.anchor_mask
    assert torch.equal(twist[valid], expected[valid])


def test_a_penalty_that_rewards_is_refused() -> None:
    with pytest.raises(UserError, match="penalty is -1"):
        StillPossible(holds, TEXTS, penalty=-1.0)
