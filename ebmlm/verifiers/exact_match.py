"""Right is what is the same text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ebmlm.texts import Attempt
from ebmlm.verifiers.base import Verifier
from ebmlm.verifiers.expected import expected_text

__all__ = [
    "ExactMatch",
    "Normaliser",
    "case_folded",
    "first_line",
    "single_spaces",
    "stripped",
]

Normaliser = Callable[[str], str]
"""Takes away a difference that does not count."""


def stripped(text: str) -> str:
    """Return the text without white space around it."""
    return text.strip()


def single_spaces(text: str) -> str:
    """Return the text with one space for each run of white space, and none around it."""
    return " ".join(text.split())


def case_folded(text: str) -> str:
    """Return the text with upper and lower case made equal."""
    return text.casefold()


def first_line(text: str) -> str:
    """Return the first line that is not blank, for models that go on writing after an answer."""
    return next((line for line in text.splitlines() if line.strip()), "")


class ExactMatch(Verifier):
    """1 where completion and expected text are the same after normalising both, else 0.

    Args:
        normalise: applied one after the other, to both.
        column: of the row, with the expected text.
    """

    def __init__(
        self, normalise: Sequence[Normaliser] = (stripped,), column: str = "completion"
    ) -> None:
        self._normalise = list(normalise)
        self._column = column

    def __call__(self, attempts: Sequence[Attempt]) -> list[float]:
        """See :meth:`Verifier.__call__`."""
        return [
            float(
                self._normalised(attempt.completion)
                == self._normalised(expected_text(attempt.row, self._column))
            )
            for attempt in attempts
        ]

    def _normalised(self, text: str) -> str:
        for normalise in self._normalise:
            text = normalise(text)
        return text
