"""Right is what Python's parser takes."""

from __future__ import annotations

import ast
import codeop
import re
import warnings
from collections.abc import Sequence

from ebmlm.errors import UserError
from ebmlm.texts import Attempt
from ebmlm.verifiers.base import Verifier
from ebmlm.verifiers.own_block import own_block

__all__ = ["ParsesAsPython"]

_DEFINITION = re.compile(r"^[ \t]*(?:async[ \t]+)?def[ \t]+(\w+)", re.MULTILINE)


class ParsesAsPython(Verifier):
    """1 where prompt and completion together are Python so far, and a statement was added; else 0.

    A completion that the horizon cut off does not fail for that: what counts is

    1. the completion up to the end of the prompt's last function (before the first statement that
       is indented no further than its ``def``), or all of it where that does not end;
    2. as a whole if it parses behind the prompt; otherwise without its last line, if no line break
       ends that;
    3. of this, as many first lines as parse. Lines are left out only where the parser says of the
       text that it ends too early (an open bracket or string, a header without its block, ``try``
       without ``except``); anything else that is wrong in any line fails.

    At least ``statements`` more than in the prompt must stand in these lines; strings that are
    statements of their own, such as docstrings, are none. Nothing is run.

    Args:
        statements: that a completion must add.

    Raises:
        UserError: for a negative number of statements.
    """

    def __init__(self, statements: int = 1) -> None:
        if statements < 0:
            raise UserError(f"statements is {statements}: a completion adds at least 0")
        self.statements = statements

    def __call__(self, attempts: Sequence[Attempt]) -> list[float]:
        """See :meth:`Verifier.__call__`."""
        return [float(self.holds(attempt)) for attempt in attempts]

    def holds(self, attempt: Attempt) -> bool:
        """Whether a completion is right: a constraint for ``ConstraintEnergy``."""
        before = _count(_first_lines(attempt.prompt) or "")
        added = _first_lines(_text(attempt))
        return added is not None and _count(added) - before >= self.statements

    def may_hold(self, attempt: Attempt) -> bool:
        """Whether nothing is wrong yet, so that the completion may still become right.

        Once false it is false whatever follows. Where it is true, the rest may still be impossible.
        """
        return _first_lines(_text(attempt)) is not None


def _text(attempt: Attempt) -> str:
    names = _DEFINITION.findall(attempt.prompt)
    completion = attempt.completion
    if names:
        completion = own_block(attempt.prompt, names[-1], completion)
    return attempt.prompt + completion


def _first_lines(text: str) -> str | None:
    """As many first lines as parse; None where more is wrong than that the text ends too early."""
    if _tree(text) is not None:
        return text
    text = text[: text.rfind("\n") + 1]
    if _tree(text) is None and not _ends_too_early(text):
        return None
    # A beginning of what only ends too early parses, or ends too early itself.
    while text and _tree(text) is None:
        text = text[: text[:-1].rfind("\n") + 1]
    return text


def _tree(text: str) -> ast.Module | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text)
        except _WRONG:
            return None


def _ends_too_early(text: str) -> bool:
    # A line that goes on is left out: behind it the parser does not say what it misses.
    while text.endswith("\\\n"):
        text = text[: text[:-1].rfind("\n") + 1]
        if _tree(text) is not None:
            return True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return codeop.compile_command(text, "completion", "exec") is None
        except (*_WRONG, OverflowError):
            return False


def _count(text: str) -> int:
    """Statements, without strings that stand alone."""
    tree = _tree(text)
    return sum(
        isinstance(node, ast.stmt)
        and not (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        )
        for node in (ast.walk(tree) if tree is not None else ())
    )


# Nothing that is written may end the run: nul characters, brackets that are nested too deep.
_WRONG = (SyntaxError, ValueError, RecursionError, MemoryError)
