"""Weaker walls, of limits on processes alone, for where there are no namespaces."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from ebmlm.verifiers.sandbox.inside.walls import Setup, Walls, own_user

__all__ = ["ProcessWalls"]

# The capability to read whatever the owner says; Landlock is asked all the same.
_READ_ALL = 2
_WRITABLE_DEVICES = ("/dev/null", "/dev/zero")


class ProcessWalls(Walls):
    """See :class:`Walls`. Files are kept by Landlock where the kernel has it, else by ownership."""

    def __init__(self) -> None:
        self._user: int | None = None
        self._readable: list[str] = []
        self._folder = ""
        self._landlock = False
        self._filter = False
        self._private = False

    def enter(self, setup: Setup) -> dict[str, str]:
        """See :meth:`Walls.enter`."""
        self._readable = setup.readable
        self._folder = f"{tempfile.gettempdir()}/ebmlm-sandbox-{secrets.token_hex(8)}"
        if sys.platform != "linux":
            return {
                "files": "nothing: what this user may read or write, a run may",
                "network": "nothing",
                "processes": "process group: one that leaves its group is not killed",
                "identity": "this user",
            }
        from ebmlm.verifiers.sandbox.inside import landlock, system_calls

        self._user = own_user(os.getpid())
        self._landlock = landlock.landlock_version() > 0
        self._filter = system_calls.filter_known()
        self._private = self._user is not None and not all(map(_seen_by_all, setup.readable))
        if self._private and not (self._landlock and self._filter):
            raise PermissionError(
                "Python is in a folder that only root may read, and foreign code must not be root:"
                " install it where all may read it"
            )
        owned = "what this user may read or write" if self._user is None else "what all may read"
        return {
            "files": "Landlock: the Python installation read-only, one folder"
            if self._landlock
            else f"ownership: {owned}, a run may",
            "network": "sockets refused by a filter of system calls" if self._filter else "nothing",
            "processes": "descendants are looked up and killed",
            "identity": ("this user" if self._user is None else f"user {self._user} of its own")
            + (", who reads what Landlock leaves" if self._private else ""),
        }

    def open_door(self) -> None:
        """See :meth:`Walls.open_door`."""

    def furnish(self, limits: dict[str, Any], hidden: list[str]) -> str:
        """See :meth:`Walls.furnish`: what is ``hidden`` stays readable here."""
        if sys.platform == "linux":
            from ebmlm.verifiers.sandbox.inside import kernel

            kernel.subreaper()
        os.mkdir(self._folder, mode=0o700)
        if self._user is not None:
            os.chown(self._folder, self._user, self._user)
        return self._folder

    def drop(self) -> None:
        """See :meth:`Walls.drop`."""
        if sys.platform != "linux":
            return
        from ebmlm.verifiers.sandbox.inside import kernel, landlock, system_calls

        if self._user is not None:
            kernel.keep_capabilities()
            os.setgroups([])
            os.setresgid(self._user, self._user, self._user)
            os.setresuid(self._user, self._user, self._user)
        kernel.forget_capabilities(but=_READ_ALL if self._private else None)
        kernel.no_new_privileges()
        if self._landlock:
            devices = [path for path in _WRITABLE_DEVICES if os.path.exists(path)]
            landlock.allow_only([*self._readable, "/dev/urandom"], [os.getcwd(), *devices])
        if self._filter:
            system_calls.refuse_system_calls()

    def clear(self) -> None:
        """See :meth:`Walls.clear`."""
        if self._user is not None:
            self._kill_all_of_the_user()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _kill_all_of_the_user(self) -> None:
        assert self._user is not None
        killer = os.fork()
        if killer == 0:
            # One call kills them all at once, so that none can fork away.
            os.setresuid(self._user, self._user, self._user)
            os.kill(-1, signal.SIGKILL)
            os._exit(0)
        os.waitpid(killer, 0)


def _seen_by_all(path: str) -> bool:
    real = Path(os.path.realpath(path))
    return all(folder.stat().st_mode & 0o001 for folder in [real, *real.parents])
