"""Pairs that are functions cut short, whose own doctests say whether they were completed well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from ebmlm.data.pair import Pair, PairSource
from ebmlm.data.source import Corpus
from ebmlm.data.tasks.checks import check_lengths, check_packages
from ebmlm.data.tasks.defaults import PACKAGES
from ebmlm.data.tasks.function_text import FunctionText, functions_of
from ebmlm.data.tasks.missing import Missing, WholeBody
from ebmlm.data.tasks.packages import installed, python_modules
from ebmlm.data.tasks.verified import verified
from ebmlm.errors import UserError

__all__ = ["FunctionsWithDoctests"]


@dataclass(frozen=True)
class FunctionsWithDoctests(PairSource):
    r"""Functions and methods of installed packages with examples in their docstrings.

    The prompt is the function from its decorators to where something is missing, a method below
    the first line of its class; it ends without a line break. The completion is the rest of the
    function and begins with a line break. Kept are only functions that pass their own examples,
    whatever the order of sets, and fail them with ``pass``, ``return None`` and ``raise`` in place
    of what is missing. An index in this package knows that for the versions in constraints.txt;
    for other versions the packages' own examples are run once, in a process of its own, and the
    outcome is kept in the cache folder.

    The key is the source file, so that a split is by file, as in
    :class:`~ebmlm.data.tasks.DoctestAnswers`. Columns: ``module`` (dotted name), ``path`` (its
    file), ``before`` and ``after`` (before + completion + after is the module's text),
    ``function`` (qualified name) and ``examples``, each with ``source``, ``want``, ``options`` by
    doctest's names of them, and ``exc_msg``.

    Attributes:
        packages: by the names that Python imports them by, ``python`` for the standard library;
            of those that our extra ``tasks`` brings, the installed ones if not given.
        missing: what has to be written.
        longest_prompt: in characters; functions with a longer one are left out.
        longest_completion: in characters; functions with a longer one are left out.

    Raises:
        UserError: when built, if a length is not positive or no package is named.
    """

    packages: Sequence[str] | None = None
    missing: Missing = field(default_factory=WholeBody)
    longest_prompt: int = 2000
    longest_completion: int = 1000

    def __post_init__(self) -> None:
        check_packages(self.packages)
        check_lengths(
            longest_prompt=self.longest_prompt, longest_completion=self.longest_completion
        )

    def read(self) -> Corpus[Pair]:
        """Read every function, and run those of which it is not known whether they count.

        Raises:
            UserError: if a package is not installed, or no function is left.
        """
        places, skipped = self.places()
        pairs = self._pairs(places, skipped)
        if not pairs:
            names = ", ".join(self.read_packages())
            raise UserError(
                f"there is no usable function with doctests in {names}: name other packages, or"
                " raise longest_prompt or longest_completion"
            )
        return Corpus(pairs, dict(+skipped))

    def places(self) -> tuple[list[tuple[FunctionText, int]], Counter[str]]:
        """Return every function and its first missing line, before any is run.

        Returns:
            The places, and how many functions were left out by reason.

        Raises:
            UserError: if a package is not installed.
        """
        modules, skipped = python_modules(self.read_packages())
        places: list[tuple[FunctionText, int]] = []
        for module in modules:
            for function in functions_of(module):
                first = self.missing.first(function)
                reason = self._refused(function, first)
                if first is None or reason is not None:
                    skipped[str(reason)] += 1
                else:
                    places.append((function, first))
        return places, skipped

    def read_packages(self) -> Sequence[str]:
        """Return the names of the packages that are read."""
        return installed(PACKAGES) if self.packages is None else self.packages

    def _pairs(
        self, places: Sequence[tuple[FunctionText, int]], skipped: Counter[str]
    ) -> list[Pair]:
        pairs: dict[str, Pair] = {}
        for (function, first), good in zip(places, verified(places), strict=True):
            if not good:
                skipped["doctests fail, or say nothing of what is missing"] += 1
                continue
            pair = _pair(function, first)
            identity = pair.fingerprint()
            skipped["repeated"] += identity in pairs
            pairs.setdefault(identity, pair)
        return list(pairs.values())

    def _refused(self, function: FunctionText, first: int | None) -> str | None:
        if first is None:
            return "cannot be cut there"
        cut = function.cut(first)
        if cut.start - function.module.upto(function.line) > self.longest_prompt:
            return "long prompt"
        if cut.end - cut.start > self.longest_completion:
            return "long completion"
        return None


def _pair(function: FunctionText, first: int) -> Pair:
    cut, module = function.cut(first), function.module
    text = module.text
    prompt = function.header() + text[module.upto(function.line) : cut.start]
    columns = {
        "module": module.name,
        "path": str(module.path),
        "before": text[: cut.start],
        "after": text[cut.end :],
        "function": function.name,
        "examples": function.examples,
    }
    return Pair(module.key, prompt, text[cut.start : cut.end], columns)
