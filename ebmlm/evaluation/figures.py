"""The figures of an evaluation as they are told: a value, its error, its interval, its items."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ebmlm.evaluation.corpus import CorpusMeasurement
from ebmlm.evaluation.intervals import wilson_interval
from ebmlm.evaluation.measurement import Measurement
from ebmlm.evaluation.report import EvaluationReport

__all__ = ["Figure", "differences", "figures", "not_compared"]


@dataclass(frozen=True)
class Figure:
    """A number that was measured.

    Attributes:
        value: the number; not a number where there was nothing to measure.
        standard_error: over items; not a number for fewer than two.
        low: lower end of its confidence interval.
        high: upper end.
        items: how many items it was measured on.
    """

    value: float
    standard_error: float
    low: float
    high: float
    items: int

    def to_json(self) -> dict[str, Any]:
        """Return it as what JSON can hold; null for what is not a number."""

        def finite(number: float) -> float | None:
            return number if math.isfinite(number) else None

        return {
            "value": finite(self.value),
            "standard_error": finite(self.standard_error),
            "interval": [finite(self.low), finite(self.high)],
            "items": self.items,
        }


def figures(report: EvaluationReport, level: float = 0.95) -> dict[str, Figure]:
    """Return every figure of an evaluation, by name.

    - Means: with t-intervals; where every item is counted once as zero or one, such as solved or
      not, with Wilson's, which has a width even if no item is solved.
    - ``perplexity``: the exponential of the cross-entropy; error by the delta method, interval by
      the exponential of the cross-entropy's.
    - Scores of a corpus: error and percentile interval from bootstrap samples of the items.
    """
    found = {}
    for name, measured in report.measurements.items():
        found[name] = _mean(measured, level)
        if name == "cross_entropy":
            found["perplexity"] = _exponential(_difference(measured, level))
    for name, whole in report.corpus.items():
        found[name] = _bootstrapped(whole.score, whole.resampled(), whole.items, level)
    return found


def differences(
    after: EvaluationReport, before: EvaluationReport, level: float = 0.95
) -> dict[str, Figure]:
    """Return ``after`` minus ``before`` for every figure that both measured, in pairs of items.

    Means have t-intervals of the items' differences, which have no width where no item differs.
    ``perplexity_ratio`` is the exponential of the difference of cross-entropies: what perplexity is
    multiplied by. Scores of a corpus have bootstrap intervals, both on the same samples of items.

    Raises:
        ValueError: if rows, tokens or anchors differ, or corpus scores are of different metrics.
    """
    if not torch.equal(after.ids, before.ids):
        raise ValueError("evaluations of different sequences do not compare in pairs")
    found = {}
    for name, measured in after.measurements.items():
        if name in before.measurements:
            change = _difference(measured.minus(before.measurements[name]), level)
            found[name] = change
            if name == "cross_entropy":
                found["perplexity_ratio"] = _exponential(change)
    for name, whole in after.corpus.items():
        if name in before.corpus:
            found[name] = _corpus_difference(whole, before.corpus[name], level)
    return found


def not_compared(after: EvaluationReport, before: EvaluationReport) -> list[str]:
    """Return the names that only one of two evaluations measured."""
    return sorted(
        {*after.measurements, *after.corpus} ^ {*before.measurements, *before.corpus},
    )


def _mean(measured: Measurement, level: float) -> Figure:
    counted = measured.counts > 0
    once = bool((measured.counts[counted] == 1).all())
    totals = measured.totals[counted]
    if once and bool(((totals == 0) | (totals == 1)).all()):
        low, high = wilson_interval(measured.mean, measured.items, level)
        return Figure(measured.mean, measured.standard_error, low, high, measured.items)
    return _difference(measured, level)


def _difference(measured: Measurement, level: float) -> Figure:
    low, high = measured.interval(level)
    return Figure(measured.mean, measured.standard_error, low, high, measured.items)


def _exponential(figure: Figure) -> Figure:
    value = _exp(figure.value)
    return Figure(
        value,
        value * figure.standard_error,
        _exp(figure.low),
        _exp(figure.high),
        figure.items,
    )


def _exp(number: float) -> float:
    try:
        return math.exp(number)
    except OverflowError:
        return math.inf


def _corpus_difference(after: CorpusMeasurement, before: CorpusMeasurement, level: float) -> Figure:
    if after.metric != before.metric or not torch.equal(after.counted, before.counted):
        raise ValueError("scores of different metrics or items do not compare in pairs")
    resampled = after.resampled() - before.resampled()
    return _bootstrapped(after.score - before.score, resampled, after.items, level)


def _bootstrapped(score: float, resampled: Tensor, items: int, level: float) -> Figure:
    if items < 2:
        return Figure(score, math.nan, math.nan, math.nan, items)
    ends = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = resampled.quantile(ends).tolist()
    return Figure(score, float(resampled.std()), low, high, items)
