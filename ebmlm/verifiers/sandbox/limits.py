"""How much a run in the sandbox may use."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from ebmlm.errors import UserError

__all__ = ["Limits"]

_KIB, _MIB = 1 << 10, 1 << 20


@dataclass(frozen=True)
class Limits:
    """What one run may use at most.

    The memory limit holds twice: for each process's address space, and for what all processes of
    a run hold together (looked at twenty times a second). Imports of numpy need about 300 MiB of
    address space.

    Attributes:
        wall_seconds: from start to end; at the limit, the run is killed whole.
        cpu_seconds: of each process.
        memory_bytes: of each process, and of all together.
        processes: that exist at once, threads counted too.
        descriptors: that a process has open at once.
        file_bytes: length of a file.
        folder_bytes: of the working folder altogether.
        folder_files: in the working folder.
        output_bytes: that are printed, and that one message of a run may be long.

    Raises:
        UserError: if a number cannot work.
    """

    wall_seconds: float = 5.0
    cpu_seconds: int = 4
    memory_bytes: int = 1 << 30
    processes: int = 16
    descriptors: int = 64
    file_bytes: int = _MIB
    folder_bytes: int = 16 * _MIB
    folder_files: int = 256
    output_bytes: int = 256 * _KIB

    def __post_init__(self) -> None:
        for one in fields(self):
            value, least, most = getattr(self, one.name), _LEAST[one.name], _MOST[one.name]
            whole = one.name != "wall_seconds"
            kind = "a whole number" if whole else "a number"
            right = isinstance(value, int) or (not whole and isinstance(value, float))
            # `True` is an int, and not-a-number is neither small nor large.
            if not right or isinstance(value, bool) or not least <= value <= most:
                raise UserError(f"{one.name} is {value!r}: give {kind} from {least:,} to {most:,}")

    def as_dict(self) -> dict[str, Any]:
        """Return the limits by name."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


# The interpreter itself needs some of each.
_LEAST: dict[str, float] = {
    "wall_seconds": 0.05,
    "cpu_seconds": 1,
    "memory_bytes": 64 * _MIB,
    "processes": 1,
    "descriptors": 8,
    "file_bytes": 0,
    "folder_bytes": 4 * _KIB,
    "folder_files": 1,
    "output_bytes": 256,
}
_MOST: dict[str, float] = {
    "wall_seconds": 3600,
    "cpu_seconds": 3600,
    "memory_bytes": 1 << 40,
    "processes": 4096,
    "descriptors": 4096,
    "file_bytes": 1 << 32,
    "folder_bytes": 1 << 34,
    "folder_files": 1 << 20,
    "output_bytes": 1 << 26,
}
