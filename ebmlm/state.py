"""Parts that remember something from step to step, and how it is kept in checkpoints.

A running average that is forgotten when a run is resumed changes the objective in silence. A part
that has one is :class:`Stateful`; wherever it stands in an objective it is found, told when an
optimiser step ends, saved and restored.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from ebmlm.errors import UserError

__all__ = ["Gather", "Stateful", "alone", "gather_state", "restore_state", "stateful_parts"]

Gather = Callable[[Tensor], list[Tensor]]
"""The tensors that every process gives, in the order of their ranks, on every process."""


def alone(tensor: Tensor) -> list[Tensor]:
    """:data:`Gather` of a single process."""
    return [tensor]


class Stateful(ABC):
    """A part with a state that changes between optimiser steps, and never within one."""

    @abstractmethod
    def end_step(self, gather: Gather) -> None:
        """Take in what was seen since the last call; every process calls it after each step."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Return all there is to remember, by name."""

    @abstractmethod
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what :meth:`state` returned."""


def stateful_parts(part: Any) -> dict[str, Stateful]:
    """Return every :class:`Stateful` part that ``part`` is made of, by the path to it.

    Attributes, sequences and mappings are followed; networks are not, since the trainer keeps
    them, or they are frozen.
    """
    found: dict[str, Stateful] = {}
    for path, value in _walk(part, "", set()):
        found[path] = value
    return found


def _walk(part: Any, path: str, seen: set[int]) -> Iterator[tuple[str, Stateful]]:
    if isinstance(part, (str, bytes, int, float, Tensor, nn.Module, type)) or part is None:
        return
    if id(part) in seen:
        return
    seen.add(id(part))
    if isinstance(part, Stateful):
        yield path or "objective", part
        return
    if isinstance(part, Mapping):
        inside = part.items()
    elif isinstance(part, (list, tuple)):
        inside = dict(enumerate(part)).items()
    elif type(part).__module__.split(".")[0] == "torch":
        return
    else:
        inside = getattr(part, "__dict__", {}).items()
    for name, value in inside:
        yield from _walk(value, f"{path}.{name}" if path else str(name), seen)


def gather_state(part: Any) -> dict[str, Tensor]:
    """Return the state of every stateful part of ``part``, under ``PATH/NAME``; may be empty."""
    return {
        f"{path}/{name}": value.detach().cpu().contiguous()
        for path, one in stateful_parts(part).items()
        for name, value in one.state().items()
    }


def restore_state(part: Any, state: Mapping[str, Tensor]) -> None:
    """Restore every stateful part of ``part`` from what :func:`gather_state` returned.

    Raises:
        UserError: where parts and state do not belong together.
    """
    parts = stateful_parts(part)
    given: dict[str, dict[str, Tensor]] = {path: {} for path in parts}
    for key, value in state.items():
        path, name = key.rsplit("/", 1)
        if path not in given:
            raise UserError(
                f"the checkpoint has a state of {path} and this objective has no such part"
                f" ({', '.join(parts) or 'none keeps a state'}): resume with the configuration"
                " that the run was started with"
            )
        given[path][name] = value
    for path, one in parts.items():
        one.restore(given[path])
