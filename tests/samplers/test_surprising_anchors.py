"""Anchors where the text surprises a model."""

from __future__ import annotations

import math

import pytest
import torch

from ebmlm.data import TextRow, collate
from ebmlm.errors import UserError
from ebmlm.rollouts import SequenceBatch
from ebmlm.samplers import (
    AnchorPlacement,
    BlockParallelSampler,
    CompletionAnchors,
    StridedAnchors,
    SurprisingAnchors,
)
from ebmlm.testing import TabularLanguageModel

HORIZON = 3


def table() -> TabularLanguageModel:
    return TabularLanguageModel(5, 3, generator=torch.Generator().manual_seed(0)).frozen()


def text(pairs: bool = False) -> list[TextRow]:
    generator = torch.Generator().manual_seed(1)
    rows = []
    for index, length in enumerate((20, 17, 12, 20)):
        documents = (torch.arange(length) >= 11).long()
        targets = torch.arange(length) % 11 >= 3 if pairs else None
        tokens = torch.randint(5, (length,), generator=generator)
        rows.append(TextRow(tokens, documents, index, targets=targets))
    return rows


def naive(
    network: TabularLanguageModel, candidates: AnchorPlacement, share: float, row: TextRow
) -> list[int]:
    """Of one row, by a loop."""
    batch = collate([row])
    scores = network.score_sequences(batch)[0]
    anchors, mask = candidates(batch, HORIZON)
    places = anchors[0][mask[0]].tolist()

    def nats(place: int) -> float:
        window = [
            at
            for at in range(place, min(place + HORIZON, len(row)))
            if row.documents[at] == row.documents[place]
        ]
        return -sum(float(scores[at]) for at in window) / len(window)

    hardest = sorted(places, key=nats, reverse=True)[: math.ceil(share * len(places))]
    return sorted(hardest)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.7, 1.0])
@pytest.mark.parametrize("pairs", [False, True])
def test_they_are_the_hardest_of_each_row(share: float, pairs: bool) -> None:
    network = table()
    candidates = CompletionAnchors(2) if pairs else StridedAnchors(2, 2)
    placement = SurprisingAnchors(network, candidates, share)
    rows = text(pairs)
    batch = collate(rows)
    anchors, mask = placement(batch, HORIZON)
    for place, row in enumerate(rows):
        found = anchors[place][mask[place]].tolist()
        assert found == naive(network, candidates, share, row)
        assert mask[place].tolist() == sorted(mask[place].tolist(), reverse=True)
    assert anchors.shape[1] == max(int(mask.sum(1).max()), 1)
    assert placement.counts(batch, HORIZON).tolist() == mask.sum(1).tolist()


def test_neither_neighbours_nor_padding_move_them_or_the_draws() -> None:
    network = table()
    sampler = BlockParallelSampler(SurprisingAnchors(network, StridedAnchors(2, 2)), HORIZON, 2)
    rows = text()

    def drawn(batch: SequenceBatch) -> dict[int, list[object]]:
        rollouts = sampler.sample(table(), batch, generator=torch.Generator().manual_seed(4))
        return {
            int(identity): [
                rollouts.anchors[place][rollouts.anchor_mask[place]].tolist(),
                rollouts.completions[place][rollouts.anchor_mask[place]].tolist(),
            ]
            for place, identity in enumerate(batch.ids)
        }

    together = drawn(collate(rows))
    assert together == drawn(collate(rows[::-1]))
    for row in rows:
        assert drawn(collate([row]))[row.id] == together[row.id]


def test_counting_does_not_ask_the_model() -> None:
    class Silent(TabularLanguageModel):
        def score_sequences(self, batch: SequenceBatch) -> torch.Tensor:
            raise AssertionError

    placement = SurprisingAnchors(Silent(5, 3), StridedAnchors(2, 2))
    assert placement.counts(collate(text()), HORIZON).tolist() == [4, 3, 2, 4]


@pytest.mark.parametrize("share", [0.0, 1.5, float("nan")])
def test_shares_are_checked(share: float) -> None:
    with pytest.raises(UserError, match="it must be above 0 and at most 1"):
        SurprisingAnchors(table(), StridedAnchors(), share)
