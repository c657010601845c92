"""Pairs that are examples in docstrings: an expression, and what Python answers."""

from __future__ import annotations

import doctest
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ebmlm.data.pair import Pair, PairSource
from ebmlm.data.source import Corpus
from ebmlm.data.tasks.checks import check_lengths, check_packages
from ebmlm.data.tasks.defaults import PACKAGES
from ebmlm.data.tasks.docstrings import documented, examples_of, parsed
from ebmlm.data.tasks.packages import Module, installed, python_modules
from ebmlm.errors import UserError

__all__ = ["DoctestAnswers"]

# Where each run answers otherwise, or where the answer is only a pattern.
_UNSTABLE = (" at 0x", "...", "<BLANKLINE>")
_TRACEBACK = "Traceback (most recent call last)"


@dataclass(frozen=True)
class DoctestAnswers(PairSource):
    r"""Sessions from the docstrings of installed packages, and the answer to their last line.

    The prompt is the session so far, which is every earlier example of the same docstring without
    the words between them, and one more ``>>>`` line. It ends with a line break, and the
    completion is the one line that Python answers. No package is imported and nothing is run: the
    answers are what the docstrings say. Left out and counted are answers of several lines, too
    long ones, exceptions, answers that are patterns or addresses, and sessions that are skipped
    by their own options.

    The key is the source file, so that a split is by file. Columns: ``source`` (the last
    statement), ``want`` (the answer), ``function`` (whose docstring it is), ``module``.

    Attributes:
        packages: by the names that Python imports them by, ``python`` for the standard library;
            of those that our extra ``tasks`` brings, the installed ones if not given.
        longest_prompt: in characters; longer sessions are left out.
        longest_answer: in characters; longer answers are left out.

    Raises:
        UserError: when built, if a length is not positive or no package is named.
    """

    packages: Sequence[str] | None = None
    longest_prompt: int = 1200
    longest_answer: int = 48

    def __post_init__(self) -> None:
        check_packages(self.packages)
        check_lengths(longest_prompt=self.longest_prompt, longest_answer=self.longest_answer)

    def read(self) -> Corpus[Pair]:
        """Read every docstring.

        Raises:
            UserError: if a package is not installed, or no answer is left.
        """
        names = self.read_packages()
        modules, skipped = python_modules(names)
        pairs: dict[str, Pair] = {}
        for module in modules:
            for pair in self._of_module(module, skipped):
                # One docstring is often copied into another.
                identity = pair.fingerprint()
                skipped["repeated"] += identity in pairs
                pairs.setdefault(identity, pair)
        if not pairs:
            raise UserError(
                f"there is no usable doctest answer in {', '.join(names)}: name other packages,"
                " or raise longest_prompt or longest_answer"
            )
        return Corpus(tuple(pairs.values()), dict(+skipped))

    def read_packages(self) -> Sequence[str]:
        """Return the names of the packages that are read."""
        return installed(PACKAGES) if self.packages is None else self.packages

    def _of_module(self, module: Module, skipped: Counter[str]) -> Iterator[Pair]:
        if ">>>" not in module.text:
            return
        tree = parsed(module)
        if tree is None:
            skipped["file that does not parse"] += 1
            return
        for each in documented(tree):
            session = ""
            for example in examples_of(each.docstring):
                prompt = session + _shown(example.source)
                session = prompt + example.want
                reason = self._refused(example, prompt)
                if reason is not None:
                    # Statements that answer nothing are part of every session, not losses.
                    skipped[reason] += bool(reason)
                    continue
                want = example.want.rstrip("\n")
                columns = {
                    "source": example.source,
                    "want": want,
                    "function": each.name,
                    "module": module.name,
                }
                yield Pair(module.key, prompt, want, columns)

    def _refused(self, example: doctest.Example, prompt: str) -> str | None:
        """Why an example is left out, empty where there is nothing to answer."""
        want = example.want.rstrip("\n")
        if not want.strip():
            return ""
        if doctest.SKIP in example.options:
            return "skipped by its own option"
        if want.startswith(_TRACEBACK):
            return "exception"
        if "\n" in want:
            return "answer of several lines"
        if any(mark in want for mark in _UNSTABLE):
            return "answer that is a pattern or an address"
        # A prompt ends with a line break; white space after it would be cut into other tokens.
        if want != want.strip():
            return "answer with white space around it"
        if len(want) > self.longest_answer:
            return "long answer"
        if len(prompt) > self.longest_prompt:
            return "long prompt"
        return None


def _shown(source: str) -> str:
    """A statement as it is typed into a session."""
    first, *others = source.removesuffix("\n").split("\n")
    lines = [f">>> {first}", *(f"... {line}".rstrip() for line in others)]
    return "\n".join(lines) + "\n"
