"""The laws of a partition function's estimate from a group.

Each takes a :class:`~ebmlm.targets.Partition` and raises where it breaks the law, with a smallest
counterexample (docs/testing.md, "Laws").
"""

from __future__ import annotations

import dataclasses

import torch
from hypothesis import strategies as st
from torch import Tensor

from ebmlm.samplers.anchors import GivenAnchors
from ebmlm.samplers.autoregressive import AutoregressiveSampler
from ebmlm.targets.partition import Partition
from ebmlm.testing.describe import Readable, numbers
from ebmlm.testing.laws.cases import noise, orders
from ebmlm.testing.laws.proof import EXAMPLES, DoesNotApply, Draw, for_all, require, require_equal
from ebmlm.testing.laws.target_worlds import listed_targets

__all__ = [
    "PARTITION_LAWS",
    "partition_averages_to_z",
    "partition_is_a_number",
    "partition_is_each_anchors_own",
    "partition_permutes_with_samples",
    "partition_scales_with_weights",
]

_EXACT = 1e-10


@dataclasses.dataclass(frozen=True, eq=False)
class _Weighed(Readable):
    """Log importance weights (batch, anchor, sample)."""

    log_weights: Tensor

    def __str__(self) -> str:
        return f"log-weights {numbers(self.log_weights)}"


@st.composite
def _weighed(draw: st.DrawFn, partition: Partition, minimum: int = 1) -> _Weighed:
    fewest = max(partition.minimum_samples, minimum)
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(fewest, 4)))
    size = torch.Size(shape).numel()
    number = st.sampled_from([0.0, 1.0, -2.0, 700.0, -700.0, -float("inf")])
    values = draw(st.lists(number, min_size=size, max_size=size))
    return _Weighed(torch.tensor(values, dtype=torch.float64).view(shape))


def partition_averages_to_z(partition: Partition, examples: int = EXAMPLES) -> None:
    """Exponentiated, what each rollout is given is an unbiased estimate of Z, to 1e-10.

    Over every group that a language model may draw; not for numbers that are known beforehand.
    """
    _refuse_known(partition)
    source = AutoregressiveSampler(2, 1, anchors=GivenAnchors())
    fewest = partition.minimum_samples
    for world in listed_targets(source, source.distribution):
        for samples in (fewest, fewest + 1, fewest + 2):
            every = torch.arange(len(world.completions))
            groups = torch.cartesian_prod(*[every] * samples).view(-1, samples)
            chance = world.proposed[groups].prod(-1, keepdim=True)
            found = partition(world.weights.log()[groups].unsqueeze(1))[:, 0].exp()
            expected = world.unnormalised.sum().expand(samples)
            what = f"E[Z-hat] of each of {samples} rollouts, {world}"
            require_equal((chance * found).sum(0), expected, what, _EXACT)


def partition_scales_with_weights(partition: Partition, examples: int = EXAMPLES) -> None:
    """A constant added to all log-weights is added to what it says; known numbers stay."""

    def holds(draw: Draw) -> None:
        weights = draw(_weighed(partition), "case").log_weights
        expected = partition(weights) + (0.0 if _known(partition) else 2.5)
        require_equal(partition(weights + 2.5), expected, "log Z with 2.5 added to all log-weights")

    for_all(holds, examples)


def partition_permutes_with_samples(partition: Partition, examples: int = EXAMPLES) -> None:
    """Permuting the samples of an anchor permutes what each is given."""

    def holds(draw: Draw) -> None:
        weights = draw(_weighed(partition, 2), "case").log_weights
        order = draw(orders(weights.shape[-1]), "order")
        expected = partition(weights)[..., order]
        require_equal(partition(weights[..., order]), expected, "log Z of permuted samples")

    for_all(holds, examples)


def partition_is_each_anchors_own(partition: Partition, examples: int = EXAMPLES) -> None:
    """What it says at one anchor does not depend on the weights at any other."""

    def holds(draw: Draw) -> None:
        weights = draw(_weighed(partition), "case").log_weights
        other = noise(1)(weights)
        other[0, 0] = weights[0, 0]
        what = "log Z of the first anchor, where others have other weights"
        require_equal(partition(other)[0, 0], partition(weights)[0, 0], what)

    for_all(holds, examples)


def partition_is_a_number(partition: Partition, examples: int = EXAMPLES) -> None:
    """Weights of any size give a number for each rollout, or minus infinity where none weighs."""

    def holds(draw: Draw) -> None:
        weights = draw(_weighed(partition), "case").log_weights
        found = partition(weights)
        require(found.shape == weights.shape, f"shape {tuple(found.shape)}")
        require(bool((found < torch.inf).all()), f"log Z is {numbers(found)}")
        nothing = (weights == -torch.inf).all(-1, keepdim=True)
        something = (weights > -torch.inf).sum(-1, keepdim=True) > 1
        require(bool((found > -torch.inf)[something.expand_as(found)].all()), "log Z of nothing")
        if not _known(partition):
            require(bool((found == -torch.inf)[nothing.expand_as(found)].all()), "Z of no weight")

    for_all(holds, examples)


PARTITION_LAWS = (
    partition_averages_to_z,
    partition_scales_with_weights,
    partition_permutes_with_samples,
    partition_is_each_anchors_own,
    partition_is_a_number,
)
"""Every law of a partition function's estimate."""


def _known(partition: Partition) -> bool:
    """Whether it says the same whatever the weights."""
    samples = max(2, partition.minimum_samples)
    values = torch.arange(2.0 * samples, dtype=torch.float64).view(2, 1, samples)
    first, second = partition(values), partition(values.square())
    return bool((first == second).all())


def _refuse_known(partition: Partition) -> None:
    if _known(partition):
        raise DoesNotApply("its number does not come from weights")
