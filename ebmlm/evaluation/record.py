"""An evaluation with what it was made of, as a file that later evaluations compare with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ebmlm.data.row import TextRows
from ebmlm.errors import UserError
from ebmlm.evaluation.figures import Figure, differences, figures, not_compared
from ebmlm.evaluation.report import EvaluationReport

__all__ = ["EvaluationComparison", "EvaluationRecord", "rows_fingerprint"]

# Measured in the features of some network; only the same network's compare.
_IN_FEATURES = ("feature_matching_loss", "alignment", "diversity")

# Options that no figure depends on.
_WITHOUT_EFFECT = ("batch_size", "kept")


@dataclass(frozen=True, eq=False)
class EvaluationRecord:
    """An evaluation, and what was evaluated on what.

    Attributes:
        model: name or folder of the model.
        features: name or folder of the model whose features were matched.
        part: ``validation`` or ``test``.
        seed: of the draws.
        rows: fingerprint of the rows.
        options: how it was measured, as plain data.
        report: what was found.
    """

    model: str
    features: str
    part: str
    seed: int
    rows: str
    options: Mapping[str, Any]
    report: EvaluationReport

    def to_json(self, level: float = 0.95) -> dict[str, Any]:
        """Return everything as what JSON can hold: every figure, and item by item."""
        return {
            "model": self.model,
            "features": self.features,
            "part": self.part,
            "seed": self.seed,
            "rows": self.rows,
            "options": self.options,
            "items": len(self.report),
            "level": level,
            "figures": figures_to_json(figures(self.report, level)),
            "report": self.report.to_json(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> EvaluationRecord:
        """Return what :meth:`to_json` wrote.

        Raises:
            KeyError: if something is missing.
        """
        names = ("model", "features", "part", "seed", "rows", "options")
        report = EvaluationReport.from_json(content["report"])
        return cls(**{name: content[name] for name in names}, report=report)

    @classmethod
    def read(cls, path: Path) -> EvaluationRecord:
        """Return the evaluation in a file; of a comparison, the second model's.

        Raises:
            UserError: if there is no such file, or it holds no evaluation.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls.from_json(content.get("after", content))
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(
                f"{path} is not an evaluation that `ebmlm evaluate --output FILE` wrote ({error!r})"
            ) from error


@dataclass(frozen=True, eq=False)
class EvaluationComparison:
    """Two evaluations of the same rows, and their paired differences.

    Attributes:
        before: of the model that is compared with.
        after: of the other.

    Raises:
        UserError: if their rows or parts differ.
    """

    before: EvaluationRecord
    after: EvaluationRecord

    def __post_init__(self) -> None:
        first, second = self.before, self.after
        if first.part != second.part or first.rows != second.rows:
            raise UserError(
                f"{first.model} was measured on {len(first.report)} rows of {first.part},"
                f" {second.model} on {len(second.report)} other rows of {second.part}: only"
                " evaluations of the same rows, cut by the same tokeniser, compare in pairs"
            )

    def differences(self, level: float = 0.95) -> dict[str, Figure]:
        """Return ``after`` minus ``before``, figure by figure.

        Raises:
            UserError: if one of them measured other anchors or with other metrics.
        """
        try:
            found = differences(self.after.report, self.before.report, level)
        except ValueError as error:
            raise UserError(f"{error}: evaluate both with the same options") from error
        left_out = self.left_out()
        return {name: figure for name, figure in found.items() if name not in left_out}

    def left_out(self) -> list[str]:
        """Return the names that are not compared: measured once only, or in other features."""
        names = not_compared(self.after.report, self.before.report)
        if self.before.features != self.after.features:
            names += [name for name in _IN_FEATURES if name in self.after.report.measurements]
        return sorted(set(names))

    def other_options(self) -> list[str]:
        """Return the names of the options that the two were measured with differently.

        Their figures compare, and the difference may be the options'.
        """
        before, after = (dict(_flat(one.options)) for one in (self.before, self.after))
        return sorted(
            name
            for name in before.keys() | after.keys()
            if before.get(name) != after.get(name) and not name.endswith(_WITHOUT_EFFECT)
        )

    def to_json(self, level: float = 0.95) -> dict[str, Any]:
        """Return everything as what JSON can hold."""
        return {
            "before": self.before.to_json(level),
            "after": self.after.to_json(level),
            "differences": figures_to_json(self.differences(level)),
            "left_out": self.left_out(),
            "other_options": self.other_options(),
            "items": len(self.after.report),
            "level": level,
        }


def figures_to_json(found: Mapping[str, Figure]) -> dict[str, Any]:
    """Return figures by name as what JSON can hold."""
    return {name: figure.to_json() for name, figure in found.items()}


def _flat(options: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(options, Mapping):
        for key, value in options.items():
            yield from _flat(value, f"{name}.{key}" if name else key)
    else:
        yield name, options


def rows_fingerprint(rows: TextRows) -> str:
    """Return the SHA-256 of rows: of their ids, tokens and targets, in their order."""
    digest = hashlib.sha256()
    for place in range(len(rows)):
        row = rows[place]
        targets = None if row.targets is None else row.targets.int().tolist()
        digest.update(repr((row.id, row.sequence.tolist(), targets)).encode())
    return digest.hexdigest()
