"""Right is what matches a pattern, or has the expected text where the pattern says."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import regex  # type: ignore[import-untyped]

from ebmlm.errors import UserError
from ebmlm.texts import Attempt
from ebmlm.verifiers.base import Verifier
from ebmlm.verifiers.expected import expected_text

__all__ = ["RegularExpression"]

logger = logging.getLogger(__name__)


class RegularExpression(Verifier):
    r"""1 where a pattern is found in the completion, else 0.

    With a column, its first group (or the whole match, of a pattern without groups) must also equal
    the expected text, white space around both aside: ``RegularExpression(r"answer is (\S+)",
    column="answer")``. The last match counts, as answers come at the end.

    A completion can be made such that a pattern with nested repetition takes for ever. Patterns
    are therefore searched by the package ``regex``, which keeps to a time; a completion that needs
    more scores 0, which is logged.

    Args:
        pattern: in Python's syntax; ``(?s)`` and its like at its beginning set flags.
        column: of the row, with the expected text; None where any match is right.
        seconds: for one completion.

    Raises:
        UserError: if the pattern is none, or the time is not positive.
    """

    def __init__(self, pattern: str, column: str | None = None, seconds: float = 1.0) -> None:
        try:
            self._pattern = regex.compile(pattern)
        except regex.error as error:
            raise UserError(f"{pattern!r} is no regular expression: {error}") from None
        if not 0 < seconds < float("inf"):
            raise UserError(f"seconds is {seconds!r}: give a positive number")
        self._column = column
        self._seconds = seconds

    def __call__(self, attempts: Sequence[Attempt]) -> list[float]:
        """See :meth:`Verifier.__call__`."""
        wanted = [
            None if self._column is None else expected_text(attempt.row, self._column).strip()
            for attempt in attempts
        ]
        found = [self._found(attempt.completion) for attempt in attempts]
        late = sum(one is _LATE for one in found)
        if late:
            logger.warning(
                "%d of %d completions took the pattern over %g s: they score 0",
                *(late, len(found), self._seconds),
            )
        return [
            float(isinstance(one, str) and (want is None or one.strip() == want))
            for one, want in zip(found, wanted, strict=True)
        ]

    def _found(self, completion: str) -> str | object | None:
        last = None
        try:
            for match in self._pattern.finditer(completion, timeout=self._seconds):
                last = match
        except TimeoutError:
            return _LATE
        if last is None:
            return None
        # A group that took no part in the match is no answer.
        return last.group(1 if self._pattern.groups else 0) or ""


_LATE = object()
