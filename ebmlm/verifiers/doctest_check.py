"""Right is what makes the examples of a function's docstring print what they should."""

from __future__ import annotations

import doctest
import importlib.util
import os
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from ebmlm.errors import UserError
from ebmlm.texts import Attempt
from ebmlm.verifiers.checks import Check
from ebmlm.verifiers.own_block import own_block
from ebmlm.verifiers.sandbox import Sandbox

__all__ = ["DoctestCheck"]

_TEXTS = ("module", "path", "before", "after", "function")


class DoctestCheck(Check):
    """Examples of a function inside its module.

    The module is ``before`` + completion + ``after``, imported under its own name in the place of
    the installed one, whose file is hidden. Of the completion, the function's own block counts
    (:func:`~ebmlm.verifiers.own_block.own_block`). The sandbox is told the examples' sources when
    the module is imported, and reports what they print; that is compared with what they should
    print here, where no foreign code runs, by :class:`doctest.OutputChecker`.

    Columns: ``module`` (dotted name), ``path`` (its file), ``before``, ``after``, ``function``
    (qualified name), and ``examples``: each with ``source``, ``want``, ``options`` (by name of a
    doctest flag, true or false) and ``exc_msg``.
    """

    @property
    def columns(self) -> Sequence[str]:
        """See :attr:`Check.columns`."""
        return (*_TEXTS, "examples")

    def validate(self, row: Mapping[str, Any]) -> None:
        """See :meth:`Check.validate`."""
        for column in _TEXTS:
            if not isinstance(row[column], str):
                raise UserError(f"column {column!r} is {row[column]!r}: it must be a text")
        try:
            examples = [(one["source"] + one["want"], _flags(one)) for one in row["examples"]]
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"column 'examples' of {row['function']!r}: each must have source, want, options"
                f" (names of doctest flags) and exc_msg ({type(error).__name__}: {error})"
            ) from None
        if all(flags & doctest.SKIP for _, flags in examples):
            raise UserError(f"column 'examples' of {row['function']!r} has none that is run")

    def passes(self, attempt: Attempt, sandbox: Sandbox) -> bool:
        """See :meth:`Check.passes`."""
        row = attempt.row
        completion = own_block(row["before"], row["function"], attempt.completion)
        joint = "" if completion.endswith("\n") or row["after"].startswith("\n") else "\n"
        source = row["before"] + completion + joint + row["after"]
        examples = [one for one in row["examples"] if not _flags(one) & doctest.SKIP]
        nonce = secrets.token_hex(16)
        with sandbox.run("doctests", hidden=_files(row["path"])) as talk:
            talk.tell({"module": row["module"], "path": row["path"], "source": source})
            if (talk.hear() or {}).get("ready") is not True:
                return False
            talk.tell({"nonce": nonce, "examples": [one["source"] for one in examples]})
            report = talk.hear() or {}
        results = report.get("results")
        if report.get("nonce") != nonce or not isinstance(results, list):
            return False
        return len(results) == len(examples) and all(map(_as_wanted, examples, results))


def _as_wanted(example: Mapping[str, Any], result: Any) -> bool:
    if not isinstance(result, dict):
        return False
    printed, raised = result.get("printed"), result.get("raised")
    wanted, flags = example.get("exc_msg"), _flags(example)
    checker = doctest.OutputChecker()
    if raised is None:
        return (
            wanted is None
            and isinstance(printed, str)
            and checker.check_output(example["want"], printed, flags)
        )
    if wanted is None or not isinstance(raised, str):
        return False
    if flags & doctest.IGNORE_EXCEPTION_DETAIL:
        wanted, raised = _kind(wanted), _kind(raised)
    return checker.check_output(wanted, raised, flags)


def _kind(message: str) -> str:
    """The name of an exception, without its module and its message."""
    first = message.split("\n", 1)[0]
    return first.split(":", 1)[0].strip().rsplit(".", 1)[-1] + "\n"


def _flags(example: Mapping[str, Any]) -> int:
    flags = 0
    for name, on in (example.get("options") or {}).items():
        if name not in doctest.OPTIONFLAGS_BY_NAME:
            raise ValueError(f"no doctest flag {name!r}")
        flags |= doctest.OPTIONFLAGS_BY_NAME[name] if on else 0
    return flags


def _files(path: str) -> list[str]:
    """The source file with the right answer, and where Python keeps it compiled."""
    compiled = [importlib.util.cache_from_source(path, optimization=level) for level in ("", 1, 2)]
    return [os.path.abspath(name) for name in (path, *compiled)]
