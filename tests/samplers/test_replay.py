"""Replay: what comes back, what is forgotten, and that neither cuts nor resuming change it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from ebmlm.distribution import Categorical
from ebmlm.energies import LengthEnergy
from ebmlm.errors import UserError
from ebmlm.estimators import RLOO, LogVariance
from ebmlm.objectives import ItemCounts, PolicyObjective
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.samplers import (
    AutoregressiveSampler,
    BlockParallelSampler,
    Priority,
    ReplayBuffer,
    ReplaySampler,
    StridedAnchors,
)
from ebmlm.state import alone, gather_state, restore_state
from ebmlm.targets import DensityPriority, EnergyModel, TargetEnergy
from ebmlm.testing import TabularLanguageModel
from tests.helpers import seeded


def table() -> TabularLanguageModel:
    return TabularLanguageModel(5, 2, end_tokens=(4,), generator=seeded(0))


def inner(samples: int = 2) -> BlockParallelSampler:
    return BlockParallelSampler(StridedAnchors(3, 2), 3, samples)


def text(rows: int = 4, length: int = 12) -> SequenceBatch:
    return SequenceBatch.of(torch.randint(4, (rows, length), generator=seeded(1)))


def objective(buffer: ReplayBuffer | None = None) -> PolicyObjective:
    target = EnergyModel(table().frozen(), LengthEnergy(1), 0.5)
    sampler = ReplaySampler(inner(), 2, buffer)
    return PolicyObjective(sampler, TargetEnergy(target), LogVariance())


def written(rollouts: Rollouts, row: int, anchor: int) -> list[tuple[int, ...]]:
    return [
        tuple(tokens[mask].tolist())
        for tokens, mask in zip(
            rollouts.completions[row, anchor], rollouts.completion_mask[row, anchor], strict=True
        )
    ]


def test_what_was_fresh_comes_back_at_its_own_anchor() -> None:
    sampler = ReplaySampler(inner(), 2)
    model, batch = table(), text()
    first = sampler.sample(model, batch, generator=seeded(0))
    assert first.samples == sampler.samples == 4
    # Nothing is remembered within a step.
    again = sampler.sample(model, batch, generator=seeded(0))
    assert torch.equal(again.completions, first.completions)
    sampler.buffer._seen.pop()
    sampler.buffer.end_step(alone)
    assert len(sampler.buffer) == 2 * int(first.anchor_mask.sum())
    second = sampler.sample(model, batch, generator=seeded(1))
    for row, anchor in first.anchor_mask.nonzero().tolist():
        remembered = sorted(written(first, row, anchor)[:2])
        assert sorted(written(second, row, anchor)[2:]) == remembered
    # With the log-probabilities of their time.
    scored = model.score(second).completions
    torch.testing.assert_close(second.log_probs, scored)


def test_fresh_ones_fill_up_where_nothing_is_remembered() -> None:
    sampler = ReplaySampler(inner(), 2)
    model, batch = table(), text()
    known = batch.rows(0, 2)
    sampler.sample(model, known, generator=seeded(0))
    sampler.buffer.end_step(alone)
    whole = sampler.sample(model, batch, generator=seeded(1))
    for start in range(4):
        alone_ = sampler.sample(model, batch.rows(start, start + 1), generator=seeded(1))
        for name in ("completions", "completion_mask", "log_probs"):
            assert torch.equal(getattr(alone_, name)[0], getattr(whole, name)[start]), name
    unknown = whole.rows(2, 4)
    extra = unknown.completions[:, :, 2:][unknown.anchor_mask]
    assert not torch.equal(extra, unknown.completions[:, :, :2][unknown.anchor_mask])


def test_the_oldest_are_forgotten() -> None:
    sampler = ReplaySampler(inner(), 1, ReplayBuffer(capacity=10, per_anchor=3))
    model, batch = table(), text(1)
    drawn = []
    for step in range(3):
        drawn.append(sampler.sample(model, batch, generator=seeded(step)))
        sampler.buffer.end_step(alone)
    anchors = int(drawn[0].anchor_mask.sum())
    assert anchors == 3
    assert len(sampler.buffer) == 9
    kept = sampler.buffer.at(0, 1)
    stored = sampler.buffer.stored
    assert stored is not None
    found = [tuple(stored.tokens[number][stored.mask[number]].tolist()) for number in kept]
    assert found == [*written(drawn[1], 0, 1)[1:2], *written(drawn[2], 0, 1)[:2]]
    small = ReplaySampler(inner(), 1, ReplayBuffer(capacity=4, per_anchor=3))
    small.sample(model, batch, generator=seeded(0))
    small.buffer.end_step(alone)
    assert len(small.buffer) == 4


class _Last(Priority):
    """The last sample of an anchor, and nothing else."""

    def __call__(self, rollouts: Rollouts) -> torch.Tensor:
        weights = torch.full(rollouts.completions.shape[:3], -torch.inf, dtype=torch.float64)
        weights[..., -1] = 0.0
        return weights


def test_what_has_no_weight_is_not_remembered() -> None:
    sampler = ReplaySampler(inner(), 1, priority=_Last())
    model, batch = table(), text()
    first = sampler.sample(model, batch, generator=seeded(0))
    sampler.buffer.end_step(alone)
    assert len(sampler.buffer) == int(first.anchor_mask.sum())
    second = sampler.sample(model, batch, generator=seeded(1))
    for row, anchor in first.anchor_mask.nonzero().tolist():
        assert written(second, row, anchor)[2] == written(first, row, anchor)[1]


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_choices_follow_the_density(temperature: float) -> None:
    """Over many rows that remember the same two: false alarm under 1e-6 (5 deviations)."""
    model = table()
    target = EnergyModel(model.frozen(), LengthEnergy(1))
    sampler = ReplaySampler(inner(), 1, priority=DensityPriority(target, temperature))
    batch = SequenceBatch.of(torch.tensor([[0, 1, 2, 3, 0]]).expand(4000, -1))
    first = sampler.sample(model, batch, generator=seeded(0))
    same = first.rows(0, 1).map(lambda tensor: tensor.expand(4000, *tensor.shape[1:]))
    fresh = same.map(lambda tensor: tensor)
    pair = Rollouts(
        **{
            **{name: getattr(fresh, name) for name in vars(fresh)},
            "batch": batch,
            **{
                name: getattr(fresh, name)[:, :, :2]
                for name in ("completions", "completion_mask", "log_probs")
            },
        }
    )
    left, right = written(pair, 0, 0)
    assert left != right
    sampler.buffer = ReplayBuffer(8000)
    sampler.buffer.see(pair, sampler.priority(pair))
    sampler.buffer.end_step(alone)
    chosen = sampler.sample(model, batch, generator=seeded(2))
    share = sum(written(chosen, row, 0)[2] == left for row in range(4000)) / 4000
    expected = float((target.log_density(pair)[0, 0].double() / temperature).softmax(-1)[0])
    assert abs(share - expected) < 5 * (expected * (1 - expected) / 4000) ** 0.5


def steps(run: PolicyObjective, numbers: range, model: TabularLanguageModel) -> list[float]:
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for number in numbers:
        loss = run.loss(model, text(), generator=seeded(number)).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        run.end_step()
        losses.append(float(loss.detach()))
    return losses


def test_resuming_is_bitwise() -> None:
    model, run = table(), objective(ReplayBuffer(40, 3))
    before = steps(run, range(3), model)
    kept = {name: value.clone() for name, value in gather_state(run).items()}
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    expected = steps(run, range(3, 6), model)
    other, again = table(), objective(ReplayBuffer(40, 3))
    assert gather_state(again) == {}
    other.load_state_dict(weights)
    restore_state(again, kept)
    assert steps(again, range(3, 6), other) == expected
    assert torch.equal(other.logits, model.logits)
    # It matters what is remembered.
    forgetful = table()
    forgetful.load_state_dict(weights)
    assert steps(objective(ReplayBuffer(40, 3)), range(3, 6), forgetful) != expected
    assert len(before) == 3


@pytest.mark.parametrize("cut", [[0, 2, 4], [0, 1, 2, 3, 4], [0, 3, 4]])
def test_a_step_may_be_cut(cut: list[int]) -> None:
    def run(edges: list[int]) -> tuple[list[Any], dict[str, torch.Tensor]]:
        ours, model = objective(ReplayBuffer(20, 3)), table()
        pieces = [text().rows(*edge) for edge in itertools.pairwise(edges)]
        found: list[Any] = []
        for number in range(3):
            counts = sum((ours.counts(piece) for piece in pieces), ItemCounts(0, 0))
            model.zero_grad()
            total = 0.0
            for piece in pieces:
                estimate = ours.loss(model, piece, counts=counts, generator=seeded(number))
                estimate.loss.backward()
                total += float(estimate.loss.detach())
            assert model.logits.grad is not None
            found.append((total, model.logits.grad.clone()))
            ours.end_step()
        return found, gather_state(ours)

    whole, kept = run([0, 4])
    pieces, parts = run(cut)
    for (loss, gradient), (expected, slope) in zip(pieces, whole, strict=True):
        assert loss == pytest.approx(expected, abs=1e-12)
        torch.testing.assert_close(gradient, slope, atol=1e-12, rtol=0)
    assert kept.keys() == parts.keys()
    assert all(torch.equal(parts[name], kept[name]) for name in kept)


def test_processes_remember_the_same_as_one() -> None:
    model, batch = table(), text()
    single = ReplaySampler(inner(), 2)
    single.sample(model, batch, generator=seeded(0))
    single.buffer.end_step(alone)
    halves = [ReplaySampler(inner(), 2) for _ in range(3)]
    halves[0].sample(model, batch.rows(0, 3), generator=seeded(0))
    halves[2].sample(model, batch.rows(3, 4), generator=seeded(0))
    mine: list[list[torch.Tensor]] = []

    def noting(tensor: torch.Tensor) -> list[torch.Tensor]:
        mine[-1].append(tensor)
        return [tensor]

    for half in halves:
        mine.append([])
        half.buffer.end_step(noting)
    for half in halves:
        columns = iter(list(zip(*mine, strict=True)))
        half.buffer.restore({})
        half.buffer.end_step(lambda _, columns=columns: list(next(columns)))  # type: ignore[misc]
        for name, value in single.buffer.state().items():
            assert torch.equal(half.buffer.state()[name], value), name


def test_whole_completions_are_replayed_too() -> None:
    targets = torch.tensor([[False] * 4 + [True] * 4] * 3)
    batch = SequenceBatch.of(torch.randint(4, (3, 8), generator=seeded(3)), targets=targets)
    sampler = ReplaySampler(AutoregressiveSampler(5, 2), 2)
    first = sampler.sample(table(), batch, generator=seeded(0))
    sampler.buffer.end_step(alone)
    second = sampler.sample(table(), batch, generator=seeded(1))
    for row in range(3):
        assert sorted(written(second, row, 0)[2:]) == sorted(written(first, row, 0)[:2])


def test_a_copy_draws_otherwise() -> None:
    sampler = ReplaySampler(inner(), 2)
    cold = sampler.with_distribution(Categorical(0.1))
    drawn = cold.sample(table(), text(), generator=seeded(0))
    assert drawn.distribution == cold.distribution == Categorical(0.1)
    assert sampler.distribution == Categorical()


def test_what_is_refused() -> None:
    with pytest.raises(UserError, match="replayed is 0"):
        ReplaySampler(inner(), 0)
    with pytest.raises(UserError, match="at most the 2 that the buffer keeps"):
        ReplaySampler(inner(), 3, ReplayBuffer(per_anchor=2))
    with pytest.raises(UserError, match="capacity is 0"):
        ReplayBuffer(0)
    with pytest.raises(UserError, match="temperature is 0"):
        DensityPriority(EnergyModel(table().frozen(), LengthEnergy(1)), 0)
    with pytest.raises(UserError, match=r"ReplaySampler draws from something else.*RLOO"):
        PolicyObjective(ReplaySampler(inner(), 2), LengthEnergy(1), RLOO())
