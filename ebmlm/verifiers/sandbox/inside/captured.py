"""What foreign code prints, kept up to a limit."""

from __future__ import annotations

import io

__all__ = ["Captured", "TooMuchOutput"]


class TooMuchOutput(Exception):
    """More was printed than a run may print."""


class Captured(io.TextIOBase):
    """A text stream that remembers what is written to it.

    Args:
        limit: characters that may be written before an error is raised.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._written = 0
        self._parts: list[str] = []

    def writable(self) -> bool:
        """Whether it can be written to: yes."""
        return True

    def write(self, text: str) -> int:
        """Remember ``text``.

        Raises:
            TooMuchOutput: if that is too much by now.
        """
        self._written += len(text)
        if self._written > self._limit:
            raise TooMuchOutput(f"more than {self._limit} characters were printed")
        self._parts.append(text)
        return len(text)

    def take(self) -> str:
        """Return what was written since the last call."""
        text = "".join(self._parts)
        self._parts.clear()
        return text
