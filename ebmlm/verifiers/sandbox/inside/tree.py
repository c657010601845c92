"""The processes that descend from one, as Linux tells them."""

from __future__ import annotations

import os

__all__ = ["ProcessTree"]

_PAGE = os.sysconf("SC_PAGE_SIZE")


class ProcessTree:
    """Looks into /proc, which it holds open: it works where that folder is out of sight.

    Args:
        folder: where /proc is; where there is none, no process is ever seen.
    """

    def __init__(self, folder: str = "/proc") -> None:
        try:
            self._proc: int | None = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            self._read(f"{os.getpid()}/statm")
        except OSError:
            self._proc = None

    def below(self, process: int) -> list[int]:
        """Return the descendants of a process."""
        found, new = [], self._children(process)
        while new:
            found += new
            new = [child for parent in new for child in self._children(parent)]
            if len(found) > 1 << 16:
                break
        return found

    def resident(self, process: int) -> int:
        """Return the bytes of memory that its descendants hold, shared pages counted each time."""
        total = 0
        for one in self.below(process):
            try:
                total += int(self._read(f"{one}/statm").split()[1]) * _PAGE
            except (OSError, IndexError):
                continue
        return total

    def _children(self, process: int) -> list[int]:
        children: list[int] = []
        if self._proc is None:
            return children
        try:
            tasks = os.open(f"{process}/task", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._proc)
        except OSError:
            return children
        try:
            for task in os.listdir(tasks):
                text = self._read(f"{process}/task/{task}/children")
                children += [int(number) for number in text.split()]
        except OSError:
            pass
        finally:
            os.close(tasks)
        return children

    def _read(self, path: str) -> str:
        file = os.open(path, os.O_RDONLY, dir_fd=self._proc)
        try:
            return os.read(file, 1 << 16).decode("ascii")
        finally:
            os.close(file)
