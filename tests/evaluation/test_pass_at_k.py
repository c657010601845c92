from __future__ import annotations

import itertools
import math

import pytest
import torch

from ebmlm.errors import UserError
from ebmlm.evaluation import pass_at_k


@pytest.mark.parametrize("samples", [1, 2, 5, 7])
def test_it_is_the_share_of_all_choices_that_hold_a_solved_sample(samples: int) -> None:
    for k in range(1, samples + 1):
        found = pass_at_k(torch.arange(samples + 1), samples, k)
        for solved in range(samples + 1):
            outcomes = [place < solved for place in range(samples)]
            choices = [any(choice) for choice in itertools.combinations(outcomes, k)]
            listed = sum(choices) / len(choices)
            closed = 1 - math.comb(samples - solved, k) / math.comb(samples, k)
            assert listed == pytest.approx(closed)
            assert float(found[solved]) == pytest.approx(closed, abs=1e-15)


def test_it_is_unbiased() -> None:
    """Its expectation over the binomial count is the chance that one of k draws is right."""
    samples, k, chance = 6, 4, 0.15
    counts = torch.arange(samples + 1)
    weights = torch.tensor(
        [
            math.comb(samples, c) * chance**c * (1 - chance) ** (samples - c)
            for c in range(samples + 1)
        ],
        dtype=torch.float64,
    )
    expected = float((weights * pass_at_k(counts, samples, k)).sum())
    assert expected == pytest.approx(1 - (1 - chance) ** k, abs=1e-14)
    # The plain one is not.
    plain = 1 - (1 - counts.double() / samples) ** k
    assert abs(float((weights * plain).sum()) - expected) > 1e-3


def test_large_numbers_do_not_overflow() -> None:
    samples, k = 5000, 1000
    solved = [0, 1, 3, 4000, 4001, 5000]
    found = pass_at_k(torch.tensor(solved), samples, k)
    exact = [1 - math.comb(samples - c, k) / math.comb(samples, k) for c in solved]
    assert found.tolist() == pytest.approx(exact, rel=1e-12)
    assert found[-1] == 1
    assert math.copysign(1, float(found[0])) == 1


def test_what_says_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="pass@3 cannot be estimated from 2 samples"):
        pass_at_k(torch.tensor([1]), 2, 3)
    with pytest.raises(UserError, match="k is 0"):
        pass_at_k(torch.tensor([1]), 2, 0)
    with pytest.raises(ValueError, match="between 0 and 2"):
        pass_at_k(torch.tensor([3]), 2, 1)
