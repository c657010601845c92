"""Which part of a function is missing and has to be written?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from ebmlm.data.tasks.function_text import FunctionText
from ebmlm.errors import UserError

__all__ = ["LastLines", "LastShare", "Missing", "WholeBody"]


class Missing(ABC):
    """Answers one question: from which line on is a function missing?"""

    @abstractmethod
    def first(self, function: FunctionText) -> int | None:
        """Return the first missing line, counted in the module from 1; None if there is no such."""


@dataclass(frozen=True)
class WholeBody(Missing):
    """Everything behind the docstring."""

    def first(self, function: FunctionText) -> int | None:
        """See :meth:`Missing.first`."""
        return function.whole


@dataclass(frozen=True)
class LastLines(Missing):
    """The last lines, counted without blank lines and comments.

    What is missing begins with a statement, so it may be fewer lines; of a function with no more
    lines than these, the whole body is missing.

    Attributes:
        lines: how many at most.

    Raises:
        UserError: when built, if that is below 1.
    """

    lines: int = 2

    def __post_init__(self) -> None:
        if self.lines < 1:
            raise UserError(f"lines is {self.lines}; at least 1 line has to be missing")

    def first(self, function: FunctionText) -> int | None:
        """See :meth:`Missing.first`."""
        return _last(function, self.lines)


@dataclass(frozen=True)
class LastShare(Missing):
    """A share of the lines of the body, from its end; otherwise as :class:`LastLines`.

    Attributes:
        share: of the lines that are neither blank nor comments, rounded up; at most 1.

    Raises:
        UserError: when built, if it is out of range.
    """

    share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise UserError(f"share is {self.share}; it must be above 0 and at most 1, such as 0.5")

    def first(self, function: FunctionText) -> int | None:
        """See :meth:`Missing.first`."""
        # Not math.ceil of a product, which rounding can push above a whole number.
        return _last(function, -int(-self.share * len(function.code_lines()) // 1))


def _last(function: FunctionText, lines: int) -> int | None:
    code = function.code_lines()
    if lines >= len(code):
        return function.whole
    earliest = code[-lines]
    candidates = [line for line in function.statement_lines() if line >= earliest]
    return next((line for line in candidates if function.can_be_cut(line)), None)
