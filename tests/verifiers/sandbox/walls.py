"""Walls for tests: they are imported by a keeper, so they need the standard library only."""

from __future__ import annotations

import tempfile
from typing import Any

from ebmlm.verifiers.sandbox.inside.walls import Setup, Walls

__all__ = ["NoWalls", "RefusedWalls"]


class NoWalls(Walls):
    """Keep nothing from anything."""

    def enter(self, setup: Setup) -> dict[str, str]:
        return dict.fromkeys(("files", "network", "processes", "identity"), "nothing")

    def open_door(self) -> None:
        return

    def furnish(self, limits: dict[str, Any], hidden: list[str]) -> str:
        return tempfile.mkdtemp()

    def drop(self) -> None:
        return

    def clear(self) -> None:
        return


class RefusedWalls(NoWalls):
    """Fail as a kernel without namespaces would."""

    def enter(self, setup: Setup) -> dict[str, str]:
        raise PermissionError(1, "unshare: not here")
