"""One entry of the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Bug"]


@dataclass(frozen=True)
class Bug:
    """A mistake that has been made, as an implementation, and the law that must find it.

    Attributes:
        name: what it is called in the table and in docs/bugs.md.
        make: makes the implementation that has it.
        law: the law that must be broken; others may be too.
    """

    name: str
    make: Callable[[], Any]
    law: Callable[..., None]

    @property
    def story(self) -> str:
        """How the mistake is made: the first line of the implementation's docstring."""
        return (self.make.__doc__ or "").strip().splitlines()[0]
