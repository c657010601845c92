"""The processes of one run: a door, the run's first process, and the one with foreign code."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import select
import signal
import socket
import tempfile
from collections.abc import Callable
from typing import Any

from ebmlm.verifiers.sandbox.inside import frames
from ebmlm.verifiers.sandbox.inside.walls import Walls

__all__ = ["Job", "start_run"]

Job = Callable[[socket.socket, dict[str, Any]], None]
"""What a run does: it talks over the channel, and knows its limits."""

_CHANNEL = 3
_REAP_EVERY = 0.05


def start_run(
    walls: Walls,
    job: Job,
    channel: socket.socket,
    limits: dict[str, Any],
    hidden: list[str],
) -> tuple[int, int, int]:
    """Start a run, and return three numbers: its first process, its lifeline, its sign of life.

    The lifeline is a descriptor that the keeper holds: when it is closed, the run dies, however
    the keeper ended. The sign of life reads as ended when the run is dead.
    """
    line_below, line_above = os.pipe()
    alive_above, alive_below = os.pipe()
    number_above, number_below = os.pipe()
    door = os.fork()
    if door == 0:
        try:
            walls.open_door()
            first = os.fork()
            if first == 0:
                for descriptor in (line_above, alive_above, number_above, number_below):
                    os.close(descriptor)
                _first_process(walls, job, channel, limits, hidden, line_below)
            os.write(number_below, str(first).encode())
        except BaseException as error:
            with contextlib.suppress(BaseException):
                os.write(2, f"sandbox: no run could start: {error!r}\n".encode())
        finally:
            os._exit(0)
    for descriptor in (line_below, alive_below, number_below):
        os.close(descriptor)
    os.waitpid(door, 0)
    number = os.read(number_above, 32)
    os.close(number_above)
    return int(number or b"0"), line_above, alive_above


def _first_process(
    walls: Walls,
    job: Job,
    channel: socket.socket,
    limits: dict[str, Any],
    hidden: list[str],
    lifeline: int,
) -> None:
    """Start the foreign process and end with it; in a process namespace, everything ends then."""
    code = 1
    try:
        os.setsid()
        folder = walls.furnish(limits, hidden)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        foreign = os.fork()
        if foreign == 0:
            _foreign_process(walls, job, channel, limits, folder)
        channel.close()
        code = _wait(foreign, lifeline)
    except BaseException as error:
        os.write(2, f"sandbox: a run's first process failed: {error!r}\n".encode())
    finally:
        os._exit(code)


def _wait(foreign: int, lifeline: int) -> int:
    while True:
        while True:
            try:
                ended, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return 1
            if ended == foreign:
                return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else status >> 8
            if ended == 0:
                break
        if select.select([lifeline], [], [], 0)[0]:
            return 1
        if hasattr(signal, "sigtimedwait"):
            signal.sigtimedwait([signal.SIGCHLD], _REAP_EVERY)
        else:
            select.select([lifeline], [], [], _REAP_EVERY)


def _foreign_process(
    walls: Walls, job: Job, channel: socket.socket, limits: dict[str, Any], folder: str
) -> None:
    try:
        channel = _only(channel)
        try:
            _confine(walls, limits, folder)
        except BaseException as error:
            frames.send(channel, {"begun": False, "error": repr(error)})
            raise
        # Nothing foreign has run yet: without this word, the sandbox is at fault, not the run.
        frames.send(channel, {"begun": True})
        job(channel, limits)
        os._exit(0)
    finally:
        os._exit(1)


def _confine(walls: Walls, limits: dict[str, Any], folder: str) -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.setsid()
    os.chdir(folder)
    os.umask(0o077)
    _bound(limits)
    walls.drop()
    os.environ.update(HOME=folder, TMPDIR=folder)
    # The keeper may have looked for another one.
    tempfile.tempdir = None


def _only(channel: socket.socket) -> socket.socket:
    """Close every descriptor but the channel; what is printed goes nowhere."""
    nowhere = os.open("/dev/null", os.O_RDWR)
    kept = fcntl.fcntl(channel.detach(), fcntl.F_DUPFD, _CHANNEL + 1)
    for standard in range(3):
        os.dup2(nowhere, standard)
    os.dup2(kept, _CHANNEL)
    os.closerange(_CHANNEL + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=_CHANNEL)


def _bound(limits: dict[str, Any]) -> None:
    cpu = limits["cpu_seconds"]
    bounds = {
        # The first kills by a signal that can be ignored, the second by one that cannot.
        "RLIMIT_CPU": (cpu, cpu + 1),
        "RLIMIT_AS": limits["memory_bytes"],
        "RLIMIT_NPROC": limits["processes"],
        "RLIMIT_NOFILE": limits["descriptors"],
        "RLIMIT_FSIZE": limits["file_bytes"],
        "RLIMIT_CORE": 0,
        "RLIMIT_MEMLOCK": 0,
        "RLIMIT_MSGQUEUE": 0,
    }
    for name, value in bounds.items():
        number = getattr(resource, name, None)
        if number is not None:
            resource.setrlimit(number, value if isinstance(value, tuple) else (value, value))
