"""What an evaluation found, item by item, so that two evaluations compare in pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from ebmlm.evaluation.corpus import CorpusMeasurement
from ebmlm.evaluation.measurement import Measurement

__all__ = ["EvaluationReport", "Measurement", "WrittenCompletion"]


@dataclass(frozen=True)
class WrittenCompletion:
    """A completion to read.

    Attributes:
        id: of its row.
        prompt: what was to be completed.
        written: the model's most probable completion.
        real: the completion of the data.
        score: what the verifier gave for ``written``.
    """

    id: int
    prompt: str
    written: str
    real: str
    score: float


@dataclass(frozen=True, eq=False)
class EvaluationReport:
    """Measurements by name on the same held-out rows.

    Attributes:
        ids: (sequence,) which rows.
        measurements: means, by name.
        corpus: scores of all rows together, by name.
        written: some completions to read.
    """

    ids: Tensor
    measurements: Mapping[str, Measurement]
    corpus: Mapping[str, CorpusMeasurement] = field(default_factory=dict)
    written: Sequence[WrittenCompletion] = ()

    def means(self) -> dict[str, float]:
        """Mean of every measurement."""
        return {name: value.mean for name, value in self.measurements.items()}

    def standard_errors(self) -> dict[str, float]:
        """Standard error of every mean, over sequences."""
        return {name: value.standard_error for name, value in self.measurements.items()}

    def minus(self, other: EvaluationReport) -> EvaluationReport:
        """Paired differences of the means with an evaluation of the same rows.

        Scores of a whole corpus have no difference item by item:
        :func:`ebmlm.evaluation.differences` compares those too.

        Raises:
            ValueError: if the rows differ, or ``other`` lacks a measurement.
        """
        if not torch.equal(self.ids, other.ids):
            raise ValueError("evaluations of different sequences do not compare in pairs")
        if missing := set(self.measurements) - set(other.measurements):
            raise ValueError(f"the other evaluation did not measure {', '.join(sorted(missing))}")
        return EvaluationReport(
            self.ids,
            {
                name: value.minus(other.measurements[name])
                for name, value in self.measurements.items()
            },
        )

    @classmethod
    def merged(cls, reports: Sequence[EvaluationReport]) -> EvaluationReport:
        """Return several evaluations of the same rows as one.

        Raises:
            ValueError: if rows differ, or two measured something by one name.
        """
        first = reports[0]
        measurements: dict[str, Measurement] = {}
        corpus: dict[str, CorpusMeasurement] = {}
        for report in reports:
            if not torch.equal(report.ids, first.ids):
                raise ValueError("evaluations of different rows do not make one report")
            names = {*report.measurements, *report.corpus}
            if twice := names & {*measurements, *corpus}:
                raise ValueError(f"measured twice by one name: {', '.join(sorted(twice))}")
            measurements.update(report.measurements)
            corpus.update(report.corpus)
        return cls(first.ids, measurements, corpus, [one for r in reports for one in r.written])

    @classmethod
    def joined(cls, pieces: Sequence[EvaluationReport]) -> EvaluationReport:
        """Return one evaluation of different rows, in the order of their ids.

        Raises:
            ValueError: if the pieces did not measure the same.
        """
        first = pieces[0]
        for piece in pieces:
            if (piece.measurements.keys(), piece.corpus.keys()) != (
                first.measurements.keys(),
                first.corpus.keys(),
            ):
                raise ValueError("pieces of an evaluation must have measured the same")
        ids = torch.cat([piece.ids for piece in pieces])
        order = ids.argsort()
        measurements = {
            name: Measurement.joined([piece.measurements[name] for piece in pieces], order)
            for name in first.measurements
        }
        corpus = {
            name: CorpusMeasurement.joined([piece.corpus[name] for piece in pieces], order)
            for name in first.corpus
        }
        written = sorted((one for piece in pieces for one in piece.written), key=lambda one: one.id)
        return cls(ids[order], measurements, corpus, written)

    def to_json(self) -> dict[str, Any]:
        """Return everything, item by item, as what JSON can hold."""
        return {
            "ids": self.ids.tolist(),
            "measurements": {name: value.to_json() for name, value in self.measurements.items()},
            "corpus": {name: value.to_json() for name, value in self.corpus.items()},
            "written": [asdict(one) for one in self.written],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> EvaluationReport:
        """Return what :meth:`to_json` wrote.

        Raises:
            KeyError: if something is missing.
            UserError: for a corpus score that is not known here.
        """
        return cls(
            torch.tensor(content["ids"], dtype=torch.int64),
            {name: Measurement.from_json(value) for name, value in content["measurements"].items()},
            {
                name: CorpusMeasurement.from_json(value)
                for name, value in content.get("corpus", {}).items()
            },
            [WrittenCompletion(**one) for one in content.get("written", [])],
        )

    def __len__(self) -> int:
        return len(self.ids)
