"""The subsequence kernel against all choices of places."""

from __future__ import annotations

import itertools
from collections import defaultdict

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ebmlm.distribution import Categorical
from ebmlm.energies import KernelMatchingEnergy
from ebmlm.errors import UserError
from ebmlm.kernels import SubsequenceKernel
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.testing import check_energy
from ebmlm.testing.strategies import rollouts as any_rollouts
from tests.kernels.helpers import assert_string_kernel


def features(string: list[int], order: int, decay: float) -> dict[tuple[int, ...], float]:
    """The vector that the kernel is the inner product of: a coordinate per subsequence."""
    found: dict[tuple[int, ...], float] = defaultdict(float)
    for places in itertools.combinations(range(len(string)), order):
        found[tuple(string[place] for place in places)] += decay ** (places[-1] - places[0] + 1)
    return found


@given(
    any_rollouts(vocabulary=2, max_horizon=5),
    st.sampled_from([0.3, 0.5, 1.0]),
    st.sampled_from([[1.0], [0.0, 1.0], [1.0, 0.5, 0.25], [1.0] * 8]),
)
def test_equals_the_features(drawn: Rollouts, decay: float, weights: list[float]) -> None:
    def twin(x: list[int], y: list[int]) -> float:
        total = 0.0
        for order, weight in enumerate(weights, start=1):
            left, right = features(x, order, decay), features(y, order, decay)
            total += weight * sum(value * right.get(u, 0.0) for u, value in left.items())
        return total

    assert_string_kernel(drawn, SubsequenceKernel(decay, weights)(drawn), twin)


def test_published_example() -> None:
    """Lodhi et al. 2002, section 3: of pairs, cat and car share decay^4, cat and itself
    2 decay^4 + decay^6."""
    batch = SequenceBatch.of(torch.tensor([[0, 1, 2, 3]]))
    drawn = Rollouts.given(
        batch,
        torch.tensor([[1]]),
        torch.ones(1, 1, dtype=torch.bool),
        torch.tensor([[[[1, 2, 4]]]]),
        Categorical(),
    )
    values = SubsequenceKernel(0.5, [0.0, 1.0])(drawn)
    assert values.references.item() == 0.5**4
    assert values.own.item() == values.pairs.item() == 2 * 0.5**4 + 0.5**6


def test_matching_under_it_keeps_every_law() -> None:
    energy = KernelMatchingEnergy(SubsequenceKernel(0.5, [1.0, 0.5]))
    assert check_energy(energy, examples=15)


@pytest.mark.parametrize("decay", [0.0, -0.5, 1.5, float("nan")])
def test_decay_out_of_range(decay: float) -> None:
    with pytest.raises(UserError, match=f"decay is {decay}"):
        SubsequenceKernel(decay)
    with pytest.raises(UserError, match="at least one must be above 0"):
        SubsequenceKernel(weights=[])
