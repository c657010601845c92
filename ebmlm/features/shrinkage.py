"""Shrinkage: how far an uncertain second moment is drawn towards a multiple of the identity."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ebmlm.errors import UserError
from ebmlm.features.second_moment import SecondMoment

__all__ = ["FixedShrinkage", "LedoitWolf", "Shrinkage"]


class Shrinkage(ABC):
    """Answers one question: which share of a second moment is replaced by the identity's?"""

    @abstractmethod
    def __call__(self, moment: SecondMoment) -> float:
        """Return a share in (0, 1]."""


class FixedShrinkage(Shrinkage):
    """Always the same share.

    Raises:
        UserError: for a share outside (0, 1].
    """

    def __init__(self, share: float = 0.1) -> None:
        if not 0 < share <= 1:
            raise UserError(f"shrinkage is {share}: it must be above 0 and at most 1")
        self.share = share

    def __call__(self, moment: SecondMoment) -> float:
        """See :meth:`Shrinkage.__call__`."""
        return self.share


class LedoitWolf(Shrinkage):
    """The share with the least expected squared error, estimated from the same vectors.

    ``b^2 / d^2`` of Ledoit and Wolf 2004 (eq. 9 to 14), for a second moment about zero: with n
    vectors and ``m = tr S / D``, ``d^2 = |S - m I|^2`` and ``b^2 = (E |phi|^4 - |S|^2) / n``, at
    most ``d^2``. It takes the vectors as independent. Continuations at neighbouring anchors of a
    text are not, so it shrinks rather too little for them.

    Args:
        least: the share is at least this, so that the metric exists where vectors span few
            directions.

    Raises:
        UserError: for a least share outside (0, 1].
    """

    def __init__(self, least: float = 1e-3) -> None:
        if not 0 < least <= 1:
            raise UserError(f"least is {least}: a share above 0 and at most 1")
        self.least = least

    def __call__(self, moment: SecondMoment) -> float:
        """See :meth:`Shrinkage.__call__`."""
        distance = moment.square - moment.trace**2 / moment.size
        if distance <= 0:
            return 1.0
        uncertainty = max(0.0, moment.fourth - moment.square) / moment.count
        return min(1.0, max(self.least, uncertainty / distance))
