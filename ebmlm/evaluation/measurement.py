"""A mean over tokens, anchors or items, and how far it can be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ebmlm.evaluation.intervals import t_interval

__all__ = ["Measurement"]


@dataclass(frozen=True, eq=False)
class Measurement:
    """A mean over tokens, anchors or items, kept as totals and counts of each sequence.

    Sequences (not tokens) are taken as independent. One that has nothing to count is no item of
    the mean, and changes neither it nor its error.

    Attributes:
        totals: (sequence,) sum over the sequence's tokens or anchors, float64.
        counts: (sequence,) how many there are.
    """

    totals: Tensor
    counts: Tensor

    @property
    def items(self) -> int:
        """Sequences with anything to count."""
        return int((self.counts > 0).sum())

    @property
    def mean(self) -> float:
        """Mean over all tokens or anchors; not a number where there is none."""
        return float(self.totals.sum() / self.counts.sum())

    @property
    def standard_error(self) -> float:
        """Standard error of the mean; not a number for fewer than two items.

        The linearised error of a ratio of sums (Cochran 1977, 2.11); of one count an item it is
        the usual error of a mean.
        """
        number = self.items
        if number < 2:
            return float("nan")
        residuals = self.totals - self.mean * self.counts
        variance = residuals.square().sum() * number / (number - 1)
        return float(variance.sqrt() / self.counts.sum())

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Confidence interval of the mean: t with one degree of freedom fewer than items.

        Exact for normal means of one count an item; for ratios of sums, and for other
        distributions, right for many items.
        """
        return t_interval(self.mean, self.standard_error, self.items - 1, level)

    def minus(self, other: Measurement) -> Measurement:
        """Paired difference with a measurement of the same tokens or anchors.

        Raises:
            ValueError: if the counts differ.
        """
        if not torch.equal(self.counts, other.counts):
            raise ValueError("measurements of different tokens or anchors do not compare in pairs")
        return Measurement(self.totals - other.totals, self.counts)

    @classmethod
    def joined(cls, pieces: Sequence[Measurement], order: Tensor) -> Measurement:
        """Return the measurement of all sequences, one after the other, then put in ``order``."""
        return cls(
            torch.cat([piece.totals for piece in pieces])[order],
            torch.cat([piece.counts for piece in pieces])[order],
        )

    def to_json(self) -> dict[str, Any]:
        """Return totals and counts as what JSON can hold."""
        return {"totals": self.totals.tolist(), "counts": self.counts.tolist()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Measurement:
        """Return what :meth:`to_json` wrote."""
        return cls(
            torch.tensor(content["totals"], dtype=torch.float64),
            torch.tensor(content["counts"], dtype=torch.int64),
        )
