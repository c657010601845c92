"""Errors that a user can mend: one message with the value, the rule and the fix."""

from __future__ import annotations

__all__ = ["UserError"]


class UserError(ValueError):
    """Bad input. The command line prints its message alone and exits with 2."""
