"""Running laws, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

from rich.text import Text

from ebmlm.errors import UserError
from ebmlm.testing.laws.proof import DoesNotApply, LawViolation, counterexample

__all__ = [
    "BrokenLaws",
    "Exempt",
    "Finding",
    "Outcome",
    "Report",
    "checked",
    "examine",
    "first_sentence",
]

Exempt: TypeAlias = Mapping[str, str]
"""Reasons why an implementation may break laws, by their names."""


_IF_MEANT = (
    "If a law is broken on purpose: a bias is declared by the property `bias`, and any other law is"
    ' left out by exempt={"law": "reason"}.'
)


class Outcome(Enum):
    """What became of a law."""

    HOLDS = "holds"
    DECLARED = "as declared"
    BROKEN = "broken"
    DOES_NOT_APPLY = "does not apply"


@dataclass(frozen=True)
class Finding:
    """One law tried on one implementation.

    Attributes:
        law: name of the law's function.
        outcome: whether it holds, is broken as declared, is broken, or says nothing here.
        detail: the counterexample, or the reason that was given; empty where it holds.
    """

    law: str
    outcome: Outcome
    detail: str = ""


@dataclass(frozen=True)
class Report:
    """All laws tried on one implementation.

    Attributes:
        implementation: its name.
        findings: one per law.
    """

    implementation: str
    findings: tuple[Finding, ...]

    @property
    def broken(self) -> tuple[Finding, ...]:
        """Findings of laws that are broken and were not declared to be."""
        return tuple(found for found in self.findings if found.outcome is Outcome.BROKEN)

    def raise_if_broken(self) -> None:
        """Raise :class:`BrokenLaws` where any is."""
        if self.broken:
            raise BrokenLaws(self)

    def __rich__(self) -> Text:
        return Text(str(self))

    def __str__(self) -> str:
        lines = [f"{self.implementation}"]
        for found in self.findings:
            told = "" if found.outcome is Outcome.BROKEN else found.detail
            lines.append(f"  {found.outcome.value:14} {found.law}" + (f" ({told})" if told else ""))
        return "\n".join(lines)


class BrokenLaws(LawViolation):
    """Every law that an implementation breaks, with a smallest counterexample for each.

    Attributes:
        report: all findings.
    """

    def __init__(self, report: Report) -> None:
        self.report = report
        count = f"{len(report.broken)} of {len(report.findings)} laws broken"
        details = "\n\n".join(f"{found.law}: {found.detail}" for found in report.broken)
        super().__init__(f"{report.implementation}: {count}\n\n{details}\n\n{_IF_MEANT}")


def examine(
    implementation: str,
    laws: Iterable[Callable[..., None]],
    subject: Any,
    *,
    declared: Mapping[str, str] | None = None,
    examples: int,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Report:
    """Try every law on ``subject``.

    Args:
        implementation: its name in the report.
        laws: functions of the subject.
        subject: what is judged.
        declared: reasons, by the name of a law, why it may be broken.
        examples: cases tried for each law.
        options: further keyword arguments, by the name of a law.

    Raises:
        UserError: for a declaration that names none of the laws.
    """
    laws, declared = tuple(laws), declared or {}
    known = [law.__name__ for law in laws]
    for name in declared:
        if name not in known:
            raise UserError(f"no law {name!r} to be exempt from: the laws are {', '.join(known)}")
    findings = []
    for law in laws:
        try:
            law(subject, examples, **(options or {}).get(law.__name__, {}))
        except DoesNotApply as reason:
            found = Finding(law.__name__, Outcome.DOES_NOT_APPLY, str(reason))
        except Exception as failure:
            if law.__name__ in declared and isinstance(failure, LawViolation):
                found = Finding(law.__name__, Outcome.DECLARED, declared[law.__name__])
            else:
                found = Finding(law.__name__, Outcome.BROKEN, _told(law, failure))
        else:
            found = Finding(law.__name__, Outcome.HOLDS)
        findings.append(found)
    return Report(implementation, tuple(findings))


def first_sentence(law: Callable[..., None]) -> str:
    """What a law says: the first line of its docstring."""
    return (law.__doc__ or law.__name__).strip().splitlines()[0]


def _told(law: Callable[..., None], failure: Exception) -> str:
    """Statement, failure and counterexample, without what Hypothesis says about itself."""
    kind = "" if isinstance(failure, LawViolation) else f"{type(failure).__name__}: "
    return "\n".join([first_sentence(law), f"{kind}{failure}", *counterexample(failure)])


def checked(
    name: str | None,
    subject: Any,
    laws: Sequence[Callable[..., None]],
    declared: Exempt,
    examples: int,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Report:
    """Return the report of an implementation, or raise it where a law is broken.

    Args:
        name: what the report calls it; its class or function where there is none.
        subject: what is judged.
        laws: that apply.
        declared: reasons, by the name of a law, why it may break it.
        examples: cases tried for each law.
        options: of laws, by their names.

    Raises:
        BrokenLaws: with every law that is broken.
        UserError: for an exemption from a law that there is not.
    """
    known = name or str(getattr(subject, "__name__", type(subject).__name__))
    report = examine(known, laws, subject, declared=declared, examples=examples, options=options)
    report.raise_if_broken()
    return report
