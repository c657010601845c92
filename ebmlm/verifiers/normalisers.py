"""What does not count when two texts are compared."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

__all__ = ["CollapseSpace", "FirstLine", "IgnoreCase", "Normaliser", "Strip"]


class Normaliser(ABC):
    """Answers one question: what is left of a text when it is compared?"""

    @abstractmethod
    def __call__(self, text: str) -> str:
        """Return what is compared of ``text``."""


@dataclass(frozen=True)
class Strip(Normaliser):
    """Without white space at both ends."""

    def __call__(self, text: str) -> str:
        """See :meth:`Normaliser.__call__`."""
        return text.strip()


@dataclass(frozen=True)
class FirstLine(Normaliser):
    """The first line that is not blank: a model may go on after its answer."""

    def __call__(self, text: str) -> str:
        """See :meth:`Normaliser.__call__`."""
        return next((line for line in text.splitlines() if line.strip()), "")


@dataclass(frozen=True)
class CollapseSpace(Normaliser):
    """Every run of white space as one space, and none at the ends."""

    def __call__(self, text: str) -> str:
        """See :meth:`Normaliser.__call__`."""
        return " ".join(text.split())


@dataclass(frozen=True)
class IgnoreCase(Normaliser):
    """Capital letters as small ones."""

    def __call__(self, text: str) -> str:
        """See :meth:`Normaliser.__call__`."""
        return text.casefold()
