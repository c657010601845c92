"""Estimates of partition functions that are something else."""

from __future__ import annotations

import torch

from ebmlm.targets.partition import GroupPartition, LeaveOneOutPartition, Partition
from ebmlm.testing.bugs.bug import Bug
from ebmlm.testing.laws.partition import (
    partition_averages_to_z,
    partition_is_a_number,
    partition_is_each_anchors_own,
    partition_permutes_with_samples,
)
from ebmlm.typing import BatchAnchorSample

__all__ = [
    "PARTITION_BUGS",
    "DividesByAll",
    "LeavesOutTheFirst",
    "MeanOfLogs",
    "Overflows",
    "WholeBatch",
]


class MeanOfLogs(Partition):
    """Takes the mean of log-weights for the log of the mean weight."""

    def __call__(self, log_weights: BatchAnchorSample) -> BatchAnchorSample:
        """See :meth:`Partition.__call__`."""
        return log_weights.mean(-1, keepdim=True).expand_as(log_weights)


class DividesByAll(LeaveOneOutPartition):
    """Adds up the other samples' weights, and divides by the number of all."""

    def __call__(self, log_weights: BatchAnchorSample) -> BatchAnchorSample:
        """See :meth:`Partition.__call__`."""
        samples = log_weights.shape[-1]
        ratio = torch.tensor((samples - 1) / samples, dtype=log_weights.dtype)
        return super().__call__(log_weights) + ratio.log()


class LeavesOutTheFirst(Partition):
    """Leaves the first sample out for everybody, instead of each its own."""

    minimum_samples = 2

    def __call__(self, log_weights: BatchAnchorSample) -> BatchAnchorSample:
        """See :meth:`Partition.__call__`."""
        others = GroupPartition()(log_weights[..., 1:])[..., :1]
        return others.expand_as(log_weights)


class WholeBatch(Partition):
    """Takes one partition function for all contexts of a batch."""

    def __call__(self, log_weights: BatchAnchorSample) -> BatchAnchorSample:
        """See :meth:`Partition.__call__`."""
        flat = GroupPartition()(log_weights.flatten().view(1, 1, -1))
        return flat.view_as(log_weights)


class Overflows(Partition):
    """Takes weights out of their logarithms before it adds them up, so that they overflow."""

    def __call__(self, log_weights: BatchAnchorSample) -> BatchAnchorSample:
        """See :meth:`Partition.__call__`."""
        mean = log_weights.exp().float().mean(-1, keepdim=True)
        return mean.log().to(log_weights.dtype).expand_as(log_weights)


PARTITION_BUGS = (
    Bug("mean of the logarithms", MeanOfLogs, partition_averages_to_z),
    Bug("others divided by all", DividesByAll, partition_averages_to_z),
    Bug("the same one left out", LeavesOutTheFirst, partition_permutes_with_samples),
    Bug("one partition function for the batch", WholeBatch, partition_is_each_anchors_own),
    Bug("weights out of their logarithms", Overflows, partition_is_a_number),
)
"""Every wrong estimate of a partition function."""
