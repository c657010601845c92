"""The n-gram kernel against counters."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ebmlm.distribution import Categorical
from ebmlm.energies import KernelMatchingEnergy
from ebmlm.errors import UserError
from ebmlm.kernels import NGramKernel
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.testing import check_energy
from ebmlm.testing.strategies import rollouts as any_rollouts
from tests.kernels.helpers import assert_string_kernel


def counts(string: list[int], order: int) -> Counter[tuple[int, ...]]:
    return Counter(tuple(string[place : place + order]) for place in range(len(string) - order + 1))


@given(
    any_rollouts(vocabulary=2, max_horizon=5),
    st.sampled_from([[1.0], [0.0, 1.0], [1.0, 0.5, 0.25], [1.0] * 8]),
)
def test_equals_the_counters(drawn: Rollouts, weights: list[float]) -> None:
    def twin(x: list[int], y: list[int]) -> float:
        return sum(
            weight * sum(count * counts(y, order)[gram] for gram, count in counts(x, order).items())
            for order, weight in enumerate(weights, start=1)
        )

    assert_string_kernel(drawn, NGramKernel(weights)(drawn), twin)


def test_by_hand() -> None:
    """0 1 0 1 against 1 0 1 1: twice 0 and twice 1; bigrams 01 twice and 10 once."""
    batch = SequenceBatch.of(torch.tensor([[2, 1, 0, 1, 1]]))
    drawn = Rollouts.given(
        batch,
        torch.tensor([[1]]),
        torch.ones(1, 1, dtype=torch.bool),
        torch.tensor([[[[0, 1, 0, 1]]]]),
        Categorical(),
    )
    values = NGramKernel([1.0, 10.0])(drawn)
    assert values.references.tolist() == [[[2 * 1 + 2 * 3 + 10 * (2 * 1 + 1 * 1)]]]
    assert values.pairs.tolist() == [[[[2 * 2 + 2 * 2 + 10 * (4 + 1)]]]]
    assert values.own.tolist() == [[1 * 1 + 3 * 3 + 10 * (1 + 1 + 1)]]


@pytest.mark.parametrize("weights", [[1.0], [0.5, 1.0]])
def test_matching_under_it_keeps_every_law(weights: list[float]) -> None:
    assert check_energy(KernelMatchingEnergy(NGramKernel(weights)), examples=15)


def test_weights_are_checked() -> None:
    with pytest.raises(UserError, match=r"a weight is -1\.0"):
        NGramKernel([-1.0])
