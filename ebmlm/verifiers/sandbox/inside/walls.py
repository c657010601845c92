"""The walls of a sandbox: what keeps a run from everything else?"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Setup", "Walls", "own_user"]


@dataclass(frozen=True)
class Setup:
    """What a keeper is told once.

    Attributes:
        readable: folders and files that a run may read.
        path: the module search path of a run.
        preload: modules that the keeper imports, so that runs have them already.
    """

    readable: list[str] = field(default_factory=list)
    path: list[str] = field(default_factory=list)
    preload: list[str] = field(default_factory=list)


class Walls(ABC):
    """Built by a keeper, in this order: ``enter`` once; then for each run the other four.

    No method is called in a process that has run foreign code.
    """

    @abstractmethod
    def enter(self, setup: Setup) -> dict[str, str]:
        """Confine the keeper, and say what is in force: files, network, processes, identity.

        Raises:
            OSError: if the kernel refuses what these walls are made of.
        """

    @abstractmethod
    def open_door(self) -> None:
        """Called in a short-lived process whose only child will be the run's first process."""

    @abstractmethod
    def furnish(self, limits: dict[str, Any], hidden: list[str]) -> str:
        """Called in the run's first process: make and return its working folder.

        Args:
            limits: the fields of :class:`~ebmlm.verifiers.sandbox.limits.Limits`.
            hidden: files that this run may not read.
        """

    @abstractmethod
    def drop(self) -> None:
        """Called in the process that will run foreign code, last of all: give up every power."""

    @abstractmethod
    def clear(self) -> None:
        """Called in the keeper when the run's first process is dead: leave nothing of the run."""


def own_user(process: int) -> int | None:
    """Return a user id that nobody else has, or None where this process may not change its own.

    The kernel counts processes by user: two sandboxes of one user would take each other's places.
    """
    if os.getuid() != 0:
        return None
    first, _, count = (int(part) for part in Path("/proc/self/uid_map").read_text().split()[:3])
    if count < 1 << 15:
        return None
    top = min(first + count, 1 << 31)
    return top - 2 - process % min(1 << 22, count // 2)
