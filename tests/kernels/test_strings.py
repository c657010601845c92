"""Strings of tokens side by side."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given

from ebmlm.distribution import Categorical
from ebmlm.errors import UserError
from ebmlm.kernels.strings import checked_weights, string_kernel
from ebmlm.rollouts import Rollouts, SequenceBatch, gather_continuations
from ebmlm.testing.strategies import rollouts as any_rollouts
from tests.kernels.helpers import strings_of


@given(any_rollouts())
def test_which_tokens_are_equal(drawn: Rollouts) -> None:
    """Weighted by their places, so that each place of each string is told apart."""

    def likeness(equal: torch.Tensor) -> torch.Tensor:
        place = 1.0 + torch.arange(equal.shape[-1], dtype=torch.float64)
        return (equal * (place.unsqueeze(-1) * 10 + place)).sum((-1, -2))

    gram = string_kernel(drawn, likeness).gram()
    for row in range(gram.shape[0]):
        for place in range(gram.shape[1]):
            strings = strings_of(drawn, row, place)
            for one, first in enumerate(strings):
                for two, second in enumerate(strings):
                    # The reference is the last row and the last column of a symmetric matrix.
                    left, right = (first, second) if one < len(strings) - 1 else (second, first)
                    expected = sum(
                        (g + 1) * 10 + (h + 1)
                        for g, x in enumerate(left)
                        for h, y in enumerate(right)
                        if x == y
                    )
                    assert float(gram[row, place, one, two]) == expected


def test_references_may_be_longer_or_shorter() -> None:
    batch = SequenceBatch.of(torch.tensor([[0, 1, 2, 0, 1]]))
    anchors, mask = torch.tensor([[1]]), torch.ones(1, 1, dtype=torch.bool)
    drawn = Rollouts.given(batch, anchors, mask, torch.tensor([[[[1, 2]]]]), Categorical())
    for length in (1, 2, 4):
        references, real = gather_continuations(batch, anchors, mask, length)
        changed = dataclasses.replace(drawn, references=references, reference_mask=real)
        values = string_kernel(changed, lambda equal: equal.sum((-1, -2)).double())
        # 1 2 against 1, 1 2 and 1 2 0 1.
        assert values.references.tolist() == [[[{1: 1.0, 2: 2.0, 4: 3.0}[length]]]]


@pytest.mark.parametrize("weights", [[], [0.0, 0.0]])
def test_some_weight_is_needed(weights: list[float]) -> None:
    with pytest.raises(UserError, match="at least one must be above 0"):
        checked_weights(weights)


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_weights_out_of_range(value: float) -> None:
    with pytest.raises(UserError, match=f"a weight is {value}"):
        checked_weights([1.0, value])
