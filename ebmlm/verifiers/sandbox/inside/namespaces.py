"""Walls of namespaces: a tree of files, a network, and process numbers of its own."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from typing import Any

from ebmlm.verifiers.sandbox.inside import kernel
from ebmlm.verifiers.sandbox.inside.system_calls import filter_known, refuse_system_calls
from ebmlm.verifiers.sandbox.inside.walls import Setup, Walls, own_user

__all__ = ["NamespaceWalls"]

_WORK = "/work"
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")
_ALL = kernel.NEW_MOUNT | kernel.NEW_NET | kernel.NEW_IPC | kernel.NEW_UTS
# In a user namespace with one user, this is the name of the user outside.
_ONLY_USER = 1000


class NamespaceWalls(Walls):
    """See :class:`Walls`. Needs the kernel's leave to make namespaces, as root or as a user."""

    def __init__(self) -> None:
        self._user: int | None = None

    def enter(self, setup: Setup) -> dict[str, str]:
        """See :meth:`Walls.enter`."""
        self._user = own_user(os.getpid())
        owner = self._leave()
        if self._user is not None:
            for path in setup.readable:
                _check_that_all_may_read(path)
        kernel.make_private()
        root = tempfile.mkdtemp(prefix="ebmlm-sandbox-")
        try:
            _furnish_tree(root, setup.readable)
            _move_into(root)
        except OSError:
            # The mount ends with this process, the folder that it hides does not.
            kernel.forget_mount(root)
            os.rmdir(root)
            raise
        socket.sethostname("sandbox")
        calls = "; system calls filtered" if filter_known() else ""
        return {
            "files": "mount namespace: the Python installation read-only, one folder in memory",
            "network": "network namespace without a connection" + calls,
            "processes": "process namespace, killed whole",
            "identity": f"{owner}, without capabilities",
        }

    def _leave(self) -> str:
        if self._user is not None:
            try:
                kernel.unshare(_ALL)
            except PermissionError:
                self._user = None
            else:
                return f"user {self._user} of its own"
        user, group = os.getuid(), os.getgid()
        kernel.unshare(_ALL | kernel.NEW_USER)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{_ONLY_USER} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{_ONLY_USER} {group} 1")
        return "user namespace with one user"

    def open_door(self) -> None:
        """See :meth:`Walls.open_door`."""
        flags = kernel.NEW_PID | kernel.NEW_MOUNT
        # What outlives its maker is refused by the filter; leaving a namespace of it takes time.
        kernel.unshare(flags if filter_known() else flags | kernel.NEW_IPC)

    def furnish(self, limits: dict[str, Any], hidden: list[str]) -> str:
        """See :meth:`Walls.furnish`."""
        owner = _ONLY_USER if self._user is None else self._user
        size, files = limits["folder_bytes"], limits["folder_files"]
        # The folder itself takes a place too.
        kernel.mount_memory(
            _WORK, f"size={size},nr_inodes={files + 1},mode=700,uid={owner},gid={owner}"
        )
        for path in hidden:
            if os.path.exists(path):
                kernel.bind("/dev/null", path)
        return _WORK

    def drop(self) -> None:
        """See :meth:`Walls.drop`."""
        if self._user is not None:
            os.setgroups([])
            os.setresgid(self._user, self._user, self._user)
            os.setresuid(self._user, self._user, self._user)
        else:
            kernel.forget_capabilities()
        kernel.no_new_privileges()
        if filter_known():
            refuse_system_calls()

    def clear(self) -> None:
        """See :meth:`Walls.clear`: the namespaces went with the run's first process."""


def _check_that_all_may_read(path: str) -> None:
    # A run has a user of its own, and where the folder lies does not matter to it.
    if os.stat(path).st_mode & 0o005 != 0o005:
        raise PermissionError(f"only its owner may read {path}: chmod o+rx")


def _furnish_tree(root: str, readable: list[str]) -> None:
    """Mount a new root of nothing but what may be read."""
    kernel.mount_memory(root, "size=1m,mode=755")
    for path in readable:
        target = root + path
        os.makedirs(target, mode=0o755, exist_ok=True)
        kernel.bind(os.path.realpath(path), target)
        kernel.read_only(target)
    os.makedirs(f"{root}/dev")
    for device in _DEVICES:
        Path(root + device).touch()
        kernel.bind(device, root + device)
        kernel.read_only(root + device, devices=True)
    os.mkdir(root + _WORK)
    if not os.path.exists(f"{root}/tmp"):
        os.symlink(_WORK, f"{root}/tmp")


def _move_into(root: str) -> None:
    os.mkdir(f"{root}/old")
    kernel.pivot_root(root, f"{root}/old")
    os.chdir("/")
    # The mount point was needed until now; it is empty, and the old root is still at hand.
    os.rmdir(f"/old{root}")
    kernel.forget_mount("/old")
    os.rmdir("/old")
    # Of all that is mounted in it, so devices must go on being devices.
    kernel.read_only("/", devices=True)
