"""What an evaluation found, sequence by sequence, so that two evaluations compare in pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["EvaluationReport", "Measurement"]


@dataclass(frozen=True, eq=False)
class Measurement:
    """A mean over tokens or anchors, kept as totals and counts of each sequence.

    Attributes:
        totals: (sequence,) sum over the sequence's tokens or anchors, float64.
        counts: (sequence,) how many there are.
    """

    totals: Tensor
    counts: Tensor

    @property
    def mean(self) -> float:
        """Mean over all tokens or anchors; not a number where there is none."""
        return float(self.totals.sum() / self.counts.sum())

    @property
    def standard_error(self) -> float:
        """Standard error of the mean, taking sequences (not tokens) as independent.

        The linearised error of a ratio of sums; not a number for fewer than two sequences.
        """
        number = len(self.counts)
        if number < 2:
            return float("nan")
        residuals = self.totals - self.mean * self.counts
        variance = residuals.square().sum() * number / (number - 1)
        return float(variance.sqrt() / self.counts.sum())

    def minus(self, other: Measurement) -> Measurement:
        """Paired difference with a measurement of the same tokens or anchors.

        Raises:
            ValueError: if the counts differ.
        """
        if not torch.equal(self.counts, other.counts):
            raise ValueError("measurements of different tokens or anchors do not compare in pairs")
        return Measurement(self.totals - other.totals, self.counts)


@dataclass(frozen=True, eq=False)
class EvaluationReport:
    """Measurements by name on the same held-out sequences.

    Attributes:
        ids: (sequence,) which sequences.
        measurements: by name.
    """

    ids: Tensor
    measurements: Mapping[str, Measurement]

    def means(self) -> dict[str, float]:
        """Mean of every measurement."""
        return {name: value.mean for name, value in self.measurements.items()}

    def standard_errors(self) -> dict[str, float]:
        """Standard error of every mean, over sequences."""
        return {name: value.standard_error for name, value in self.measurements.items()}

    def minus(self, other: EvaluationReport) -> EvaluationReport:
        """Paired differences with an evaluation of the same sequences.

        Raises:
            ValueError: if the sequences differ.
        """
        if not torch.equal(self.ids, other.ids):
            raise ValueError("evaluations of different sequences do not compare in pairs")
        return EvaluationReport(
            self.ids,
            {
                name: value.minus(other.measurements[name])
                for name, value in self.measurements.items()
            },
        )

    def __len__(self) -> int:
        return len(self.ids)
