"""Uniform numbers that belong to a sequence and to nothing else."""

from __future__ import annotations

import torch

from ebmlm.samplers import sequence_uniforms
from tests.helpers import seeded


def test_a_sequence_has_its_own_numbers() -> None:
    ids = torch.tensor([4, 9, 123_456_789_012])
    whole = sequence_uniforms(ids, (3, 2, 5), seeded(1))
    assert whole.shape == (3, 3, 2, 5)
    assert whole.dtype == torch.float64
    assert ((whole >= 0) & (whole < 1)).all()
    for order in ([2, 0, 1], [1], [0, 2]):
        part = sequence_uniforms(ids[order], (3, 2, 5), seeded(1))
        assert torch.equal(part, whole[order])


def test_more_anchors_change_no_number() -> None:
    ids = torch.tensor([4, 9])
    few = sequence_uniforms(ids, (3, 2, 5), seeded(1))
    assert torch.equal(sequence_uniforms(ids, (8, 2, 5), seeded(1))[:, :3], few)


def test_the_generator_advances_by_the_same_amount_whatever_the_batch() -> None:
    one, other = seeded(1), seeded(1)
    sequence_uniforms(torch.tensor([1]), (1, 1, 1), one)
    sequence_uniforms(torch.arange(7), (5, 4, 3), other)
    assert torch.equal(one.get_state(), other.get_state())
    again = sequence_uniforms(torch.tensor([1]), (1, 1, 1), one)
    assert not torch.equal(again, sequence_uniforms(torch.tensor([1]), (1, 1, 1), seeded(1)))


def test_without_a_generator_torch_s_own_is_used() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        first = sequence_uniforms(torch.tensor([1]), (4,), None)
        torch.manual_seed(5)
        assert torch.equal(sequence_uniforms(torch.tensor([1]), (4,), None), first)


def test_neighbouring_ids_and_seeds_are_unrelated() -> None:
    """Means over 2000 ids and over 2000 seeds stay within six standard deviations of a half, and
    correlations of neighbours within six of zero: by Gaussian tails, under 1e-8 each by chance."""
    ids = sequence_uniforms(torch.arange(2000), (1,), seeded(0))[:, 0]
    seeds = torch.cat(
        [sequence_uniforms(torch.tensor([3]), (1,), seeded(seed))[0] for seed in range(2000)]
    )
    for numbers in (ids, seeds):
        assert abs(float(numbers.mean()) - 0.5) < 6 * (1 / 12 / 2000) ** 0.5
        centred = numbers - 0.5
        assert abs(float((centred[1:] * centred[:-1]).mean())) < 6 / 12 / 2000**0.5
        assert len(set(numbers.tolist())) == 2000
