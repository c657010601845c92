"""Is the completion the expected text?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ebmlm.data.suggestions import missing_name
from ebmlm.errors import UserError
from ebmlm.texts import Attempt
from ebmlm.verifiers.base import Verifier
from ebmlm.verifiers.normalisers import Normaliser, Strip

__all__ = ["ExactMatch"]


@dataclass(frozen=True)
class ExactMatch(Verifier):
    """1 where a completion equals a column of its row, up to what normalisers leave out; else 0.

    Attributes:
        column: of the expected text.
        normalise: applied to both texts, one after the other.

    Raises:
        UserError: when called, for a row without the column, or with something else than text.
    """

    column: str = "completion"
    normalise: tuple[Normaliser, ...] = (Strip(),)

    def __call__(self, attempts: Sequence[Attempt]) -> list[float]:
        """See :meth:`Verifier.__call__`."""
        return [
            float(self._left(one.completion) == self._left(self._real(one))) for one in attempts
        ]

    def _real(self, attempt: Attempt) -> str:
        if self.column not in attempt.row:
            raise UserError(missing_name("the row", "column", self.column, attempt.row))
        value = attempt.row[self.column]
        if not isinstance(value, str):
            raise UserError(
                f"column {self.column!r} holds {value!r}: ExactMatch compares texts; write it as"
                " text, or use a FunctionVerifier"
            )
        return value

    def _left(self, text: str) -> str:
        for normaliser in self.normalise:
            text = normaliser(text)
        return text
