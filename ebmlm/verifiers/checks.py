"""The check: what does a row say about whether a completion is right?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from ebmlm.errors import UserError
from ebmlm.texts import Attempt
from ebmlm.verifiers.sandbox import Sandbox

__all__ = ["Check", "chosen"]


class Check(ABC):
    """Answers one question about an attempt at code, in a sandbox: is it right?"""

    @property
    @abstractmethod
    def columns(self) -> Sequence[str]:
        """The columns that a row must have."""

    @abstractmethod
    def validate(self, row: Mapping[str, Any]) -> None:
        """Look at a row that has the columns, before anything is run.

        Raises:
            UserError: if one of them holds what the check cannot use.
        """

    @abstractmethod
    def passes(self, attempt: Attempt, sandbox: Sandbox) -> bool:
        """Whether the completion is right. Nothing that it does can make this true but being so.

        Raises:
            UserError: if the row's own test cannot be run.
            SandboxFailure: if the sandbox itself failed.
        """


def chosen(checks: Sequence[Check], row: Mapping[str, Any]) -> Check:
    """Return the first check whose columns a row has.

    Raises:
        UserError: if there is none, or the columns hold what it cannot use.
    """
    for check in checks:
        if all(row.get(column) is not None for column in check.columns):
            check.validate(row)
            return check
    wanted = "; or ".join(", ".join(check.columns) for check in checks)
    raise UserError(f"a row has the columns {', '.join(row) or '(none)'}: unit tests need {wanted}")
