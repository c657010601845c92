"""Every law against every implementation and every deliberate bug: ``python -m ebmlm.testing``.

Prints a table for each kind of part, and exits with 1 where a law fails on one of the package's own
implementations or a bug gets through.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ebmlm.testing.bugs import Bug
from ebmlm.testing.catalogue import KINDS, Kind
from ebmlm.testing.laws.proof import EXAMPLES, cases_tried
from ebmlm.testing.report import BrokenLaws, Outcome, Report

__all__ = ["main"]

_MARKS = {
    Outcome.HOLDS: "holds",
    Outcome.DECLARED: "declared",
    Outcome.BROKEN: "BROKEN",
    Outcome.DOES_NOT_APPLY: "-",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run everything, print it, and return the exit status."""
    parser = argparse.ArgumentParser("python -m ebmlm.testing", description=__doc__)
    parser.add_argument(
        "--examples",
        type=int,
        default=EXAMPLES,
        help=f"cases tried for each law ({EXAMPLES})",
    )
    parser.add_argument(
        "--kind",
        choices=[kind.name for kind in KINDS],
        action="append",
        help="only these parts; may be given more than once",
    )
    options = parser.parse_args(arguments)
    kinds = [kind for kind in KINDS if not options.kind or kind.name in options.kind]
    # Everything is too small for several threads to help.
    torch.set_num_threads(1)
    console, started = Console(), time.perf_counter()
    failures: list[str] = []
    total = sum(len(kind.implementations) + len(kind.bugs) for kind in kinds)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("laws", total=total)
        for kind in kinds:
            reports, caught = {}, {}
            for name in kind.implementations:
                progress.update(task, description=f"{kind.name}: {name}")
                reports[name] = _judged(partial(kind.judge, name, options.examples))
                progress.advance(task)
            for bug in kind.bugs:
                progress.update(task, description=f"{kind.name}: {bug.name}")
                caught[bug.name] = _judged(
                    partial(kind.check, bug.make(), examples=options.examples)
                )
                progress.advance(task)
            failures += _print(console, kind, reports, caught)
    laws = sum(len(kind.laws) for kind in kinds)
    ours, wrong = (
        sum(len(part) for part in parts)
        for parts in zip(*((kind.implementations, kind.bugs) for kind in kinds), strict=True)
    )
    console.print(
        f"{laws} laws, {ours} implementations, {wrong} deliberate bugs,"
        f" {cases_tried()} cases tried in {time.perf_counter() - started:.0f} s"
    )
    for failure in failures:
        console.print(failure, style="red", highlight=False, markup=False)
    console.print("failed" if failures else "every law holds on ours, and every bug is caught")
    return 1 if failures else 0


def _judged(checked: Callable[[], Report]) -> Report:
    try:
        return checked()
    except BrokenLaws as broken:
        return broken.report


def _print(
    console: Console, kind: Kind, reports: dict[str, Report], caught: dict[str, Report]
) -> list[str]:
    """Print both tables of a kind, and return what went wrong."""
    failures = []
    table = Table(title=f"{kind.name}: laws on ours", title_justify="left")
    table.add_column("law")
    for number in range(1, len(reports) + 1):
        table.add_column(str(number), justify="center")
    for place, law in enumerate(kind.laws):
        outcomes = [report.findings[place].outcome for report in reports.values()]
        table.add_row(law.__name__, *[_MARKS[outcome] for outcome in outcomes])
    console.print(table)
    for number, (name, report) in enumerate(reports.items(), start=1):
        console.print(f"  {number} {name}", highlight=False)
        told = dict.fromkeys(
            found.detail for found in report.findings if found.outcome is Outcome.DECLARED
        )
        for reason in told:
            console.print(f"    declared: {reason}", highlight=False)
        failures += [f"{name} breaks {found.law}: {found.detail}" for found in report.broken]

    table = Table(title=f"{kind.name}: deliberate bugs", title_justify="left")
    for column in ("bug", "found by", "", "broken as well"):
        table.add_column(column)
    for bug in kind.bugs:
        broken = [found.law for found in caught[bug.name].broken]
        found, others = _found(bug, broken)
        table.add_row(
            bug.name, bug.law.__name__, "caught" if found else "MISSED", ", ".join(others)
        )
        if not found:
            failures.append(f"{bug.name} gets past {bug.law.__name__}")
    console.print(table)
    return failures


def _found(bug: Bug, broken: list[str]) -> tuple[bool, list[str]]:
    named = bug.law.__name__
    return named in broken, [law for law in broken if law != named]


if __name__ == "__main__":
    sys.exit(main())
