"""The text encoder: what does a text look like to a network of its own?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from ebmlm.typing import RowFeature

__all__ = ["TextEncoder"]


class TextEncoder(ABC):
    """Turns texts into vectors, each by itself; frozen, with its own tokeniser and device."""

    @property
    @abstractmethod
    def width(self) -> int:
        """Features of a vector, D."""

    @abstractmethod
    def __call__(self, texts: Sequence[str]) -> RowFeature:
        """Return a vector (row, feature) for each text, at least one, without gradient.

        A vector depends on its own text alone, up to rounding. Of a text that is too long for the
        encoder its end is seen, where the continuation stands.
        """
