"""What is shown of rollouts that were made by hand."""

from __future__ import annotations

import pytest
import torch

from ebmlm.exploration import Projection, viewed
from ebmlm.exploration.effective import cosines, effective_rollouts
from tests.exploration.views import DRAWN, TEXT, seen, texts


def test_texts_duplicates_and_places() -> None:
    view = viewed(seen(), texts(), {"seed": "0"})
    assert view.facts == {"seed": "0"}
    assert [(anchor.row, anchor.place) for anchor in view.anchors] == [(41, 4), (41, 8)]
    for anchor, group in zip(view.anchors, DRAWN, strict=True):
        assert anchor.context == TEXT[: anchor.place]
        assert anchor.real == TEXT[anchor.place : anchor.place + 4]
        assert [rollout.text for rollout in anchor.rollouts] == group
        assert not anchor.cut
    first, second = view.anchors
    assert [rollout.same_as for rollout in first.rollouts] == [None] * 3
    assert [rollout.same_as for rollout in second.rollouts] == [None, None, 1]
    assert (first.distinct, second.distinct) == (3, 2)
    assert view.distinct == 2.5
    assert view.duplicates == pytest.approx(1 / 6)
    # "ab" is one token: two rollouts end before the horizon of four.
    assert [(each.tokens, each.ended) for each in first.rollouts] == [
        (3, True),
        (4, False),
        (3, True),
    ]


def test_numbers_are_those_of_the_terms() -> None:
    given = seen(other=0.7)
    view = viewed(given, texts(), {})
    for place, anchor in enumerate(view.anchors):
        rewards = -given.terms.per_sample()[0, place]
        assert [each.reward for each in anchor.rollouts] == pytest.approx(rewards.tolist())
        for sample, rollout in enumerate(anchor.rollouts):
            vectors = given.features.rollouts[0, place]
            assert given.features.references is not None
            aligned = 2 * float(vectors[sample] @ given.features.references[0, place])
            pairs = [2 * float(vectors[sample] @ vectors[j]) for j in range(3) if j != sample]
            assert rollout.alignment == pytest.approx(aligned, abs=1e-5)
            assert rollout.diversity == pytest.approx(sum(pairs) / 2, abs=1e-5)
            assert rollout.other == pytest.approx(0.7, abs=1e-5)
            assert rollout.advantage == float(given.advantages[0, place, sample])
        assert anchor.pairs is not None
        assert anchor.pairs[0][1] == pytest.approx(2 * float(vectors[0] @ vectors[1]), abs=1e-5)
        assert anchor.pairs[1][1] == 0
        assert anchor.mean("reward") == pytest.approx(float(rewards.mean()))
    assert view.mean("alignment") == pytest.approx(
        float(-given.matched.unary[0, :2].mean()), abs=1e-6
    )


def test_planes_hold_references_and_rollouts_of_valid_anchors() -> None:
    given = seen()
    view = viewed(given, texts(), {})
    assert given.features.references is not None
    groups = torch.cat(
        [given.features.references[0, :2].unsqueeze(1), given.features.rollouts[0, :2]], dim=1
    )
    shared = Projection.fitted(groups.flatten(0, 1))
    assert view.size == 5
    assert list(view.shares) == shared.shares.tolist()
    for group, anchor in zip(groups, view.anchors, strict=True):
        own = Projection.fitted(group)
        points = [anchor.reference_shared, *(each.shared for each in anchor.rollouts)]
        torch.testing.assert_close(torch.tensor(points).double(), shared(group), atol=1e-6, rtol=0)
        points = [anchor.reference_own, *(each.own for each in anchor.rollouts)]
        torch.testing.assert_close(torch.tensor(points).double(), own(group), atol=1e-6, rtol=0)
        assert list(anchor.own_shares) == own.shares[:2].tolist()
        assert torch.tensor(anchor.cosines).double().allclose(cosines(group), atol=1e-6)
        assert anchor.effective == pytest.approx(float(effective_rollouts(group[1:])))
    second = view.anchors[1].rollouts
    assert second[1].own == pytest.approx(second[2].own)


def test_without_references_there_are_rollouts_alone() -> None:
    view = viewed(seen(references=False), texts(), {})
    for anchor in view.anchors:
        assert anchor.reference_own is anchor.reference_shared is None
        assert len(anchor.cosines) == len(anchor.rollouts) == 3
