"""A keeper from outside: a process that starts runs, and one run's conversation."""

from __future__ import annotations

import contextlib
import logging
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ebmlm.errors import UserError
from ebmlm.verifiers.sandbox.inside import frames
from ebmlm.verifiers.sandbox.isolation import Isolation
from ebmlm.verifiers.sandbox.limits import Limits

__all__ = ["Keeper", "SandboxFailure", "Talk"]

logger = logging.getLogger(__name__)

_PACKAGE = Path(__file__).parents[2]
# The parts of the package are found, but not run: they would import torch.
_START = """
import sys, types
for name, path in zip({names!r}, {paths!r}):
    module = types.ModuleType(name)
    module.__path__ = [path]
    sys.modules[name] = module
from ebmlm.verifiers.sandbox.inside.keeper import main
from {module} import {walls}
main({descriptor}, {walls}())
"""
_STUBS = {
    "ebmlm": _PACKAGE,
    "ebmlm.verifiers": _PACKAGE / "verifiers",
    "ebmlm.verifiers.sandbox": _PACKAGE / "verifiers/sandbox",
}
# Hashes are the same in every run; libraries start one thread, not one a core.
_ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
_START_SECONDS = 60.0
_GRACE_SECONDS = 10.0
_LARGEST_REPORT = 1 << 16


class SandboxFailure(RuntimeError):
    """The sandbox itself failed, whatever ran in it."""


class Talk:
    """What is said with one run: messages both ways, bounded in length and in time."""

    def __init__(self, channel: socket.socket, limits: Limits) -> None:
        self._channel = channel
        self._limit = 2 * limits.output_bytes
        self._end = time.monotonic() + limits.wall_seconds + _GRACE_SECONDS

    def tell(self, message: dict[str, Any]) -> bool:
        """Send a message, and return whether it went out."""
        try:
            self._channel.settimeout(self._left())
            frames.send(self._channel, message)
        except OSError:
            return False
        return True

    def hear(self) -> dict[str, Any] | None:
        """Return the next message, or None: the run has ended, or talks nonsense."""
        try:
            self._channel.settimeout(self._left())
            return frames.receive(self._channel, self._limit)
        except (OSError, frames.BadFrame):
            return None

    def _left(self) -> float:
        return max(self._end - time.monotonic(), 0.001)


class Keeper:
    """Starts a keeper's process.

    Args:
        isolation: its walls.
        readable: folders and files that runs may read.
        path: module search path of runs.
        preload: modules that it imports once, for all runs.

    Raises:
        UserError: if the kernel refuses what the walls are made of, or a module is not there.

    Attributes:
        in_force: what it says is in force.
    """

    def __init__(
        self,
        isolation: Isolation,
        readable: Sequence[str],
        path: Sequence[str],
        preload: Sequence[str],
    ) -> None:
        self._control, below = socket.socketpair()
        module, walls = isolation.walls
        code = _START.format(
            names=list(_STUBS),
            paths=[str(folder) for folder in _STUBS.values()],
            module=module,
            walls=walls,
            descriptor=below.fileno(),
        )
        with below:
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-s", "-P", "-c", code],
                env=_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[below.fileno()],
                start_new_session=True,
                cwd="/",
            )
        setup = {"readable": list(readable), "path": list(path), "preload": list(preload)}
        try:
            self._control.settimeout(_START_SECONDS)
            frames.send(self._control, setup)
            answer = frames.receive(self._control, _LARGEST_REPORT)
        except OSError:
            answer = None
        if answer is None:
            self.close()
            raise SandboxFailure("a keeper did not start: its error stands above")
        if "refused" in answer:
            self.close()
            raise UserError(
                f"no sandbox with {isolation}: {answer['refused']}. As root, or where users may"
                " make namespaces, Namespaces() works; ProcessOnly() asks for weaker walls"
                " (ebmlm.verifiers.sandbox)"
            )
        self.in_force: dict[str, str] = answer["in_force"]

    @property
    def process(self) -> int:
        """Its process number."""
        return self._process.pid

    @contextlib.contextmanager
    def run(self, job: str, limits: Limits, hidden: Sequence[str] = ()) -> Iterator[Talk]:
        """Start a run and talk with it; on leaving, nothing of it is left.

        Args:
            job: one of those that :mod:`ebmlm.verifiers.sandbox.inside.keeper` knows.
            limits: of the run.
            hidden: files that it may not read.

        Raises:
            SandboxFailure: if the run could not be started, or not be ended.
        """
        here, there = socket.socketpair()
        with here:
            with there:
                self._start(job, limits, hidden, there)
            talk = Talk(here, limits)
            begun = talk.hear()
            if begun != {"begun": True}:
                raise SandboxFailure(f"a run could not start: {begun} {self._stop()}")
            try:
                yield talk
            finally:
                self._stop()

    def _start(
        self, job: str, limits: Limits, hidden: Sequence[str], channel: socket.socket
    ) -> None:
        request = frames.pack({"job": job, "limits": limits.as_dict(), "hidden": list(hidden)})
        try:
            self._control.settimeout(_GRACE_SECONDS)
            sent = socket.send_fds(self._control, [request], [channel.fileno()])
            self._control.sendall(request[sent:])
        except OSError as error:
            raise SandboxFailure(f"a keeper is gone: {error}") from error

    def _stop(self) -> dict[str, Any]:
        try:
            frames.send(self._control, {"stop": True})
            report = frames.receive(self._control, _LARGEST_REPORT)
        except OSError as error:
            raise SandboxFailure(f"a keeper is gone: {error}") from error
        if report is None:
            raise SandboxFailure("a keeper ended")
        return report

    def close(self) -> None:
        """End the keeper, and with it what runs."""
        self._control.close()
        try:
            self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
