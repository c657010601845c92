"""Listing every completion."""

from __future__ import annotations

import pytest
import torch

from ebmlm.distribution import Categorical
from ebmlm.rollouts import SequenceBatch
from ebmlm.testing import (
    TabularLanguageModel,
    all_completions,
    exact_moment_distance,
    group_rollouts,
)
from tests.helpers import seeded


def test_without_an_end_every_string_is_listed_once() -> None:
    listed = all_completions(3, 4)
    assert listed.shape == (81, 4)
    assert len({tuple(row) for row in listed.tolist()}) == 81


def test_with_an_end_by_hand() -> None:
    assert all_completions(2, 3, (1,)).tolist() == [
        [0, 0, 0],
        [0, 0, 1],
        [0, 1, 0],
        [1, 0, 0],
    ]
    # The end may be the token 0 itself.
    assert all_completions(2, 2, (0,)).tolist() == [[0, 0], [1, 0], [1, 1]]


@pytest.mark.parametrize("ends", [(), (1,), (0,), (0, 2)])
@pytest.mark.parametrize("distribution", [Categorical(), Categorical(0.6)])
@pytest.mark.parametrize("anchor", [1, 4])
def test_probabilities_add_up_to_one(
    ends: tuple[int, ...], distribution: Categorical, anchor: int
) -> None:
    model = TabularLanguageModel(3, 3, end_tokens=ends, generator=seeded(0))
    batch = SequenceBatch.of(torch.tensor([[0, 2, 1, 1, 0]]))
    rollouts = group_rollouts(batch, anchor, all_completions(3, 3, ends), distribution, ends)
    total = model.score(rollouts).completions.sum(-1).exp().sum()
    assert float(total.detach()) == pytest.approx(1, abs=1e-12)


def test_group_rollouts_by_hand() -> None:
    batch = SequenceBatch.of(torch.tensor([[5, 6, 7, 8]]))
    rollouts = group_rollouts(batch, 2, torch.tensor([[1, 2, 0], [3, 3, 3]]), Categorical(), (2,))
    assert rollouts.anchors.tolist() == [[2]]
    assert rollouts.completion_mask.long().tolist() == [[[[1, 1, 0], [1, 1, 1]]]]
    assert rollouts.references.tolist() == [[[7, 8, 0]]]
    assert rollouts.reference_mask.long().tolist() == [[[1, 1, 0]]]


def test_moment_distance_by_hand() -> None:
    probabilities = torch.tensor([0.25, 0.75], requires_grad=True)
    features = torch.tensor([[4.0, 0.0], [0.0, 4.0]])
    distance = exact_moment_distance(probabilities, features, torch.tensor([1.0, 1.0]))
    assert distance.item() == pytest.approx(4.0)
    distance.backward()
    assert probabilities.grad is not None
    # 2 (moment - reference) . phi
    assert probabilities.grad.tolist() == pytest.approx([0.0, 16.0])
