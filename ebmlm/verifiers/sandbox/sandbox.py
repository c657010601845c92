"""The sandbox: runs foreign code, as many at a time as asked for."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import threading
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path

from ebmlm.errors import UserError
from ebmlm.verifiers.sandbox.folders import readable_folders, search_path
from ebmlm.verifiers.sandbox.isolation import InForce, Isolation, Namespaces
from ebmlm.verifiers.sandbox.keeper import Keeper, SandboxFailure, Talk
from ebmlm.verifiers.sandbox.limits import Limits

__all__ = ["Sandbox", "isolation_in_force"]

logger = logging.getLogger(__name__)

_SECRET = b"a file that no run may read"


class Sandbox:
    """A place for foreign code. Threads may share it; each run has a keeper to itself.

    At construction a trial run looks at what is in force, which is logged in one line.

    Args:
        limits: of each run.
        isolation: what walls it has.
        packages: further folders with modules that runs may import; the Python installation and
            its installed packages are always there, editable installations are not.
        preload: modules that keepers import once, so that runs have them already. A module that a
            completion belongs to must not be among them: its original would be in memory.

    Raises:
        UserError: if the walls cannot be built here, or do not hold; or a folder does not exist.

    Attributes:
        limits: of each run.
        isolation: what walls were asked for.
        in_force: what keeps runs from everything else.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        isolation: Isolation | None = None,
        packages: Sequence[str | Path] = (),
        preload: Sequence[str] = (),
    ) -> None:
        self.limits = limits or Limits()
        self.isolation = isolation or Namespaces()
        folders = [Path(folder) for folder in packages]
        for folder in folders:
            if not folder.is_dir():
                raise UserError(f"no folder {folder}: packages are folders with modules")
        self._readable = readable_folders(folders)
        self._path = search_path(folders)
        self._preload = list(preload)
        self._idle: list[Keeper] = []
        self._lock = threading.Lock()
        self._close = weakref.finalize(self, _close_all, self._idle)
        self.in_force = self.try_out()
        level, kind = (
            (logging.INFO, "") if self.isolation.contains else (logging.WARNING, "weaker ")
        )
        logger.log(level, "%swalls of the sandbox: %s", kind, self.in_force)

    @contextlib.contextmanager
    def run(self, job: str, hidden: Sequence[str] = ()) -> Iterator[Talk]:
        """Start a run and talk with it; on leaving, nothing of it is left.

        Args:
            job: one of those that :mod:`ebmlm.verifiers.sandbox.inside.keeper` knows.
            hidden: files that it may not read.

        Raises:
            SandboxFailure: if the sandbox itself failed.
        """
        keeper = self._keeper()
        try:
            names = [name for path in hidden for name in self._names(path)]
            with keeper.run(job, self.limits, names) as talk:
                yield talk
        except BaseException:
            # In whatever state it is, it goes, and takes along what runs.
            keeper.close()
            raise
        with self._lock:
            self._idle.append(keeper)

    def keepers(self) -> list[int]:
        """Return the process numbers of the idle keepers."""
        with self._lock:
            return [keeper.process for keeper in self._idle]

    def close(self) -> None:
        """End all idle keepers; more are started when they are needed."""
        with self._lock:
            idle = list(self._idle)
            self._idle.clear()
        _close_all(idle)

    def _names(self, path: str) -> list[str]:
        """The names under which a run would see a file."""
        real = os.path.realpath(path)
        return sorted(
            {path, real}
            | {
                folder + real[len(os.path.realpath(folder)) :]
                for folder in self._readable
                if real.startswith(f"{os.path.realpath(folder)}/")
            }
        )

    def _keeper(self) -> Keeper:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return Keeper(self.isolation, self._readable, self._path, self._preload)

    def try_out(self) -> InForce:
        """Make a trial run, and return what is in force.

        Raises:
            UserError: if the walls cannot be built here.
            SandboxFailure: if a run does not work, or the walls do not hold.
        """
        keeper = self._keeper()
        self._idle.append(keeper)
        with tempfile.TemporaryDirectory() as folder:
            secret = Path(folder) / "secret"
            secret.write_bytes(_SECRET)
            # Who may read it is then a matter of the walls alone.
            os.chmod(folder, 0o711)
            os.chmod(secret, 0o604)
            with self.run("probe") as talk:
                talk.tell({"read": str(secret), "write": str(secret)})
                found = talk.hear()
        if found is None or found.get("works") is not True:
            raise SandboxFailure(f"a trial run did not work: {found}")
        in_force = InForce(
            **keeper.in_force,
            reads_outside=bool(found["reads"]),
            writes_outside=bool(found["writes"]),
            opens_sockets=bool(found["sockets"]),
        )
        leaks = in_force.reads_outside or in_force.writes_outside or found["user"] == 0
        if self.isolation.contains and leaks:
            raise SandboxFailure(f"these walls do not hold: {in_force}")
        return in_force


def isolation_in_force(isolation: Isolation | None = None) -> InForce:
    """Return what keeps runs from everything else on this machine, after a trial run.

    Raises:
        UserError: if the walls cannot be built here.
    """
    sandbox = Sandbox(isolation=isolation)
    sandbox.close()
    return sandbox.in_force


def _close_all(keepers: Sequence[Keeper]) -> None:
    for keeper in keepers:
        keeper.close()
