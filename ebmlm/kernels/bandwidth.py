"""The bandwidth of a kernel: at which distance are two vectors still alike?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from ebmlm.errors import UserError
from ebmlm.typing import RowFeature

__all__ = ["Bandwidth", "MedianBandwidth", "check_positive", "fit_bandwidth"]

Distance = Callable[[Tensor, Tensor], Tensor]


class Bandwidth(ABC):
    """Answers one question: at which distance are two vectors still alike?

    For bandwidths that are read off data. One that is known beforehand is a number.
    """

    @abstractmethod
    def __call__(self, references: RowFeature, distance: Distance) -> float:
        """Return the bandwidth, above 0.

        Args:
            references: (row, feature) of the real continuations of a batch.
            distance: of the kernel, from (row, feature) and (row, feature) to (row, row).
        """


class MedianBandwidth(Bandwidth):
    """The median distance between two real continuations of the batch that differ, times a factor.

    The usual rule (Gretton et al. 2012), taken over references alone: they do not depend
    on the policy, so within a batch the kernel is fixed and the gradient stays unbiased. It changes
    from batch to batch, and with how a batch is cut. (Of an even number of distances, the lower of
    the two in the middle.)

    Args:
        factor: above 0.
        otherwise: the bandwidth of a batch without two references that differ (one anchor, say).

    Raises:
        UserError: for a number that is not above 0.
    """

    def __init__(self, factor: float = 1.0, otherwise: float = 1.0) -> None:
        check_positive("factor", factor)
        check_positive("otherwise", otherwise)
        self.factor = factor
        self.otherwise = otherwise

    def __call__(self, references: RowFeature, distance: Distance) -> float:
        """See :meth:`Bandwidth.__call__`."""
        count = len(references)
        pairs = torch.triu_indices(count, count, offset=1, device=references.device)
        distances = distance(references, references)[pairs[0], pairs[1]]
        distances = distances[distances > 0]
        if not len(distances):
            return self.otherwise
        return self.factor * float(distances.median())


def fit_bandwidth(
    bandwidth: float | Bandwidth, references: RowFeature, distance: Distance
) -> float:
    """Return a number as it is, and what a rule makes of the references.

    Raises:
        UserError: for a number that is not above 0, from either.
    """
    width = bandwidth(references, distance) if isinstance(bandwidth, Bandwidth) else bandwidth
    check_positive("bandwidth", width)
    return width


def check_positive(name: str, value: float) -> None:
    """Refuse a number that is not finite and above 0.

    Raises:
        UserError: with the name and the number.
    """
    if not 0 < value < float("inf"):
        raise UserError(f"{name} is {value}: it must be finite and above 0")
