"""Anchors that are drawn, and what is seen there, against the objective itself."""

from __future__ import annotations

import pytest
import torch

from ebmlm.data.row import TextRow
from ebmlm.energies import Energy, EnergyTerms, FeatureMatchingEnergy, KLEnergy
from ebmlm.errors import UserError
from ebmlm.estimators import RLOO
from ebmlm.exploration import chosen_look, rows_spread, see, with_anchors
from ebmlm.features import FeatureSpaceWhitening, HiddenStateFeatures
from ebmlm.objectives import PolicyObjective
from ebmlm.rollouts import Rollouts, Scores
from ebmlm.samplers import BlockParallelSampler, StridedAnchors
from ebmlm.testing import tiny_transformer
from tests.helpers import VOCABULARY, packed_batch, seeded

SAMPLER = BlockParallelSampler(StridedAnchors(3, 2), horizon=4, samples=3)


class Counted(Energy):
    """Remembers how often it was asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, rollouts: Rollouts, scores: Scores) -> EnergyTerms:
        self.calls += 1
        return EnergyTerms(torch.zeros(rollouts.completions.shape[:3], dtype=torch.float64))


def test_rows_are_spread_over_all_there_are() -> None:
    rows = [
        TextRow(torch.full((4,), number), torch.zeros(4, dtype=torch.long), number)
        for number in range(10)
    ]
    assert rows_spread(rows, 4).ids.tolist() == [0, 2, 5, 7]
    assert rows_spread(rows, 99).ids.tolist() == list(range(10))
    with pytest.raises(UserError, match="rows is 0"):
        rows_spread(rows, 0)
    with pytest.raises(UserError, match="no rows"):
        rows_spread([], 1)


@pytest.mark.parametrize("number", [1, 2, 7, 1000])
def test_anchors_are_some_of_the_samplers_in_order(number: int) -> None:
    batch = packed_batch()
    anchors, mask = SAMPLER.anchors(batch, SAMPLER.horizon)
    every = [
        (int(batch.ids[row]), int(anchors[row, place])) for row, place in mask.nonzero().tolist()
    ]
    placed = with_anchors(batch, SAMPLER, number)
    assert placed.anchors is not None and placed.anchor_mask is not None
    found = [
        (int(placed.ids[row]), int(placed.anchors[row, place]))
        for row, place in placed.anchor_mask.nonzero().tolist()
    ]
    count = min(number, len(every))
    assert found == [every[place * len(every) // count] for place in range(count)]
    assert placed.anchor_mask.any(1).all()


def test_anchors_that_are_not_there_are_told() -> None:
    with pytest.raises(UserError, match="anchors is 0"):
        with_anchors(packed_batch(), SAMPLER, 0)
    long = BlockParallelSampler(StridedAnchors(1, 2, document_context=20), 5, 2)
    short = packed_batch().rows(1, 2)
    with pytest.raises(UserError, match="no valid anchor in 1 rows: no window of 5 tokens"):
        with_anchors(short, long, 3)


def test_what_is_seen_is_what_the_objective_sees() -> None:
    policy = tiny_transformer(vocabulary=VOCABULARY, end_tokens=(5,))
    features = HiddenStateFeatures(policy.frozen())
    matching = FeatureMatchingEnergy(features, whitening=FeatureSpaceWhitening())
    counted = Counted()
    reference = tiny_transformer(vocabulary=VOCABULARY, seed=1).frozen()
    energy = 0.1 * KLEnergy() + 0.5 * matching + counted
    objective = PolicyObjective(SAMPLER, energy, RLOO(), reference=reference)
    batch = with_anchors(packed_batch(), SAMPLER, 5)
    seen = see(objective, chosen_look(energy), policy, batch, seeded(3))
    assert counted.calls == 1

    rollouts = seen.rollouts
    assert batch.anchor_mask is not None
    assert torch.equal(rollouts.anchor_mask, batch.anchor_mask)
    assert int(rollouts.anchor_mask.sum()) == 5
    with torch.no_grad():
        scores = Scores(policy.score(rollouts).completions, reference.score(rollouts).completions)
    terms = energy(rollouts, scores)
    torch.testing.assert_close(seen.terms.per_sample(), terms.per_sample())
    torch.testing.assert_close(
        seen.matched.per_sample(), 0.5 * matching(rollouts, scores).per_sample()
    )
    torch.testing.assert_close(seen.features.rollouts, features(rollouts).rollouts)
    assert objective.sampler is SAMPLER
    assert isinstance(SAMPLER.anchors, StridedAnchors)

    again = see(objective, chosen_look(energy), policy, batch, seeded(3))
    assert torch.equal(again.rollouts.completions, rollouts.completions)
    other = see(objective, chosen_look(energy), policy, batch, seeded(4))
    assert not torch.equal(other.rollouts.completions, rollouts.completions)
