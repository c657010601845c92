"""What a sandbox's walls are made of, and which of them are in force."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

__all__ = ["InForce", "Isolation", "Namespaces", "ProcessOnly"]


class Isolation(ABC):
    """Answers one question: what keeps a run from everything else?"""

    @property
    @abstractmethod
    def walls(self) -> tuple[str, str]:
        """Module and class of the :class:`~ebmlm.verifiers.sandbox.inside.walls.Walls`."""

    @property
    @abstractmethod
    def contains(self) -> bool:
        """Whether a sandbox must prove, before its first run, that it contains one."""


@dataclass(frozen=True)
class Namespaces(Isolation):
    """Linux namespaces: files, network, and processes of a run's own.

    Needs root, or a kernel that gives users namespaces. A container often allows neither.
    """

    @property
    def walls(self) -> tuple[str, str]:
        """See :attr:`Isolation.walls`."""
        return "ebmlm.verifiers.sandbox.inside.namespaces", "NamespaceWalls"

    @property
    def contains(self) -> bool:
        """See :attr:`Isolation.contains`."""
        return True


@dataclass(frozen=True)
class ProcessOnly(Isolation):
    """Weaker: limits on processes, and of the rest what the system offers.

    On Linux, Landlock keeps files and a filter of system calls refuses sockets; where the kernel
    lacks one of them, or on another system, nothing takes its place. A run may read the source
    file that it should complete. What is in force is logged and told by
    :func:`~ebmlm.verifiers.sandbox.isolation_in_force`.
    """

    @property
    def walls(self) -> tuple[str, str]:
        """See :attr:`Isolation.walls`."""
        return "ebmlm.verifiers.sandbox.inside.processes", "ProcessWalls"

    @property
    def contains(self) -> bool:
        """See :attr:`Isolation.contains`."""
        return False


@dataclass(frozen=True)
class InForce:
    """What keeps a run from everything else, in words, and what a trial run found.

    Attributes:
        files: what keeps files.
        network: what keeps the network.
        processes: what ends all of a run's processes.
        identity: who a run is.
        reads_outside: whether a run could read a file of this user's outside.
        writes_outside: whether it could write to one.
        opens_sockets: whether it could make a socket, if only to find no network.
    """

    files: str
    network: str
    processes: str
    identity: str
    reads_outside: bool
    writes_outside: bool
    opens_sockets: bool

    def __str__(self) -> str:
        """Return one line."""
        tried = [
            f"{name}: {'yes' if possible else 'no'}"
            for name, possible in (
                ("reads outside", self.reads_outside),
                ("writes outside", self.writes_outside),
                ("makes sockets", self.opens_sockets),
            )
        ]
        return (
            f"files: {self.files}; network: {self.network}; processes: {self.processes};"
            f" identity: {self.identity}; tried: {', '.join(tried)}"
        )
