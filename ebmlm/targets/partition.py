"""The partition function of a target at each context: estimates, and their uncertainty."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch

from ebmlm.typing import BatchAnchor, BatchAnchorSample

__all__ = [
    "FixedPartition",
    "GroupPartition",
    "LeaveOneOutPartition",
    "Partition",
    "PartitionEstimate",
    "estimate_partition",
]


@dataclass(frozen=True, eq=False)
class PartitionEstimate:
    """Of each context, in nats.

    Attributes:
        log_partition: (batch, anchor) the log of the mean weight, whose exponential is unbiased.
        standard_error: (batch, anchor) of it, by the delta method; infinite for one sample.
        effective_samples: (batch, anchor) ``(sum w)^2 / sum w^2``, from 1 to N; 0 where every
            weight is zero.
    """

    log_partition: BatchAnchor
    standard_error: BatchAnchor
    effective_samples: BatchAnchor

    def interval(self, deviations: float = 1.96) -> tuple[BatchAnchor, BatchAnchor]:
        """Bounds (batch, anchor) that many standard errors away; 1.96 for 95 %."""
        spread = deviations * self.standard_error
        return self.log_partition - spread, self.log_partition + spread


def estimate_partition(log_weights: BatchAnchorSample) -> PartitionEstimate:
    """Return the estimate from log importance weights (batch, anchor, sample) of independent draws.

    docs/mathematics.md, "Towards a target".
    """
    count = log_weights.shape[-1]
    total = log_weights.logsumexp(-1)
    squares = (2 * log_weights).logsumexp(-1)
    nothing = total == -torch.inf
    effective = torch.where(nothing, 0, (2 * total - squares).exp())
    # Var(mean w) / mean^2 = (N / ESS - 1) / (N - 1).
    relative = (count / effective.clamp(min=1) - 1).clamp(min=0) / max(count - 1, 1)
    error = relative.sqrt() if count > 1 else torch.full_like(total, torch.inf)
    return PartitionEstimate(
        total - math.log(count), torch.where(nothing, torch.inf, error), effective
    )


class Partition(ABC):
    """Answers one question: what is taken for a context's log-partition function?"""

    @property
    def bias(self) -> str | None:
        """Why what is made with it has a biased gradient; None where it has not."""
        return None

    @property
    def minimum_samples(self) -> int:
        """Rollouts per anchor that it needs."""
        return 1

    @abstractmethod
    def __call__(self, log_weights: BatchAnchorSample) -> BatchAnchorSample:
        """Return ``log Z`` (batch, anchor, sample) in nats, one for each rollout.

        Args:
            log_weights: (batch, anchor, sample) of the rollouts themselves.
        """


class FixedPartition(Partition):
    """One number for every context, known beforehand; with it gradients are exact."""

    def __init__(self, log_partition: float = 0.0) -> None:
        self.log_partition = log_partition

    def __call__(self, log_weights: BatchAnchorSample) -> BatchAnchorSample:
        """See :meth:`Partition.__call__`."""
        return torch.full_like(log_weights, self.log_partition)


class GroupPartition(Partition):
    """The mean weight of the context's own rollouts, that of conditional DPG (Korbak et al. 2022).

    Weights then add up to the number of samples. Each rollout stands in its own denominator.
    """

    @property
    def bias(self) -> str | None:
        """Always."""
        return "the partition function is estimated from the rollouts that it normalises"

    def __call__(self, log_weights: BatchAnchorSample) -> BatchAnchorSample:
        """See :meth:`Partition.__call__`."""
        mean = log_weights.logsumexp(-1, keepdim=True) - math.log(log_weights.shape[-1])
        return mean.expand_as(log_weights)


class LeaveOneOutPartition(Partition):
    """The mean weight of the context's other rollouts.

    It does not depend on the rollout that it normalises; what remains is that the inverse of an
    estimate is not an estimate of the inverse.
    """

    @property
    def bias(self) -> str | None:
        """Always."""
        return "the inverse of an estimated partition function is biased"

    @property
    def minimum_samples(self) -> int:
        """Two."""
        return 2

    def __call__(self, log_weights: BatchAnchorSample) -> BatchAnchorSample:
        """See :meth:`Partition.__call__`."""
        samples = log_weights.shape[-1]
        others = log_weights.unsqueeze(-2).expand(*log_weights.shape, samples)
        own = torch.eye(samples, dtype=torch.bool, device=log_weights.device)
        return others.masked_fill(own, -torch.inf).logsumexp(-1) - math.log(max(samples - 1, 1))
