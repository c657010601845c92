"""Scores of a whole corpus, which are no means, with errors by the bootstrap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ebmlm.evaluation.text_metrics import TextMetric, metric_from_json, metric_to_json

__all__ = ["CorpusMeasurement"]

# Of the bootstrap: each resample is as many items as there are, drawn with replacement.
_RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class CorpusMeasurement:
    """A text metric of all items together, kept as the statistics of each.

    Attributes:
        metric: what makes a score from the sum of statistics.
        statistics: (sequence, statistic), float64; zero at sequences that do not count.
        counted: (sequence,) which sequences count.
    """

    metric: TextMetric
    statistics: Tensor
    counted: Tensor

    @property
    def items(self) -> int:
        """Sequences that count."""
        return int(self.counted.sum())

    @property
    def score(self) -> float:
        """The corpus's score; not a number where nothing counts."""
        return self.metric.corpus(self.statistics.sum(0)) if self.items else float("nan")

    def resampled(self, seed: int = 0) -> Tensor:
        """Return the score (resample,) of bootstrap samples of the items (Koehn 2004).

        The same items are drawn for every measurement of as many items, so that the differences of
        two are resampled in pairs.
        """
        number = self.items
        if not number:
            return torch.full((_RESAMPLES,), float("nan"), dtype=torch.float64)
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randint(number, (_RESAMPLES, number), generator=generator)
        times = torch.zeros(_RESAMPLES, number, dtype=torch.float64)
        times.scatter_add_(1, drawn, torch.ones_like(drawn, dtype=torch.float64))
        sums = times @ self.statistics[self.counted]
        return torch.tensor([self.metric.corpus(row) for row in sums], dtype=torch.float64)

    @classmethod
    def joined(cls, pieces: Sequence[CorpusMeasurement], order: Tensor) -> CorpusMeasurement:
        """Return the measurement of all sequences, one after the other, then put in ``order``."""
        return cls(
            pieces[0].metric,
            torch.cat([piece.statistics for piece in pieces])[order],
            torch.cat([piece.counted for piece in pieces])[order],
        )

    def to_json(self) -> dict[str, Any]:
        """Return metric and statistics as what JSON can hold."""
        return {
            "metric": metric_to_json(self.metric),
            "statistics": self.statistics.tolist(),
            "counted": self.counted.tolist(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> CorpusMeasurement:
        """Return what :meth:`to_json` wrote.

        Raises:
            UserError: for a metric that is not known here.
        """
        counted = torch.tensor(content["counted"], dtype=torch.bool)
        statistics = torch.tensor(content["statistics"], dtype=torch.float64)
        return cls(metric_from_json(content["metric"]), statistics.view(len(counted), -1), counted)
