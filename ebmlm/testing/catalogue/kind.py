"""One kind of part, with what the catalogue has of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ebmlm.testing import bugs
from ebmlm.testing.report import Report

__all__ = ["Kind"]


@dataclass(frozen=True)
class Kind:
    """One kind of part.

    Attributes:
        name: of the kind, in the plural.
        laws: that hold for it.
        check: tries all of them on what a maker makes.
        implementations: the package's own, by name: functions that make one.
        bugs: deliberately wrong ones.
        exempt: by the name of an implementation, laws that it may break, with the reason.
        options: by the name of an implementation, further keyword arguments of ``check``.
    """

    name: str
    laws: tuple[Callable[..., None], ...]
    check: Callable[..., Report]
    implementations: Mapping[str, Callable[[], Any]]
    bugs: tuple[bugs.Bug, ...]
    exempt: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def judge(self, name: str, examples: int) -> Report:
        """Check the implementation of that name, with its exemptions and options.

        Raises:
            BrokenLaws: with every law that is broken.
        """
        return self.check(
            self.implementations[name](),
            examples=examples,
            exempt=self.exempt.get(name, {}),
            **self.options.get(name, {}),
        )
