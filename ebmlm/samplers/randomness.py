"""Uniform numbers per sequence, the same however a batch is cut, padded or spread over devices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

from ebmlm.typing import Batch

__all__ = ["given_uniforms", "sequence_uniforms"]

_MASK = (1 << 64) - 1

_GIVEN: ContextVar[Callable[[Tensor, tuple[int, ...]], Tensor] | None] = ContextVar(
    "_GIVEN", default=None
)


@contextmanager
def given_uniforms(source: Callable[[Tensor, tuple[int, ...]], Tensor]) -> Iterator[None]:
    """Within it, :func:`sequence_uniforms` returns what ``source(ids, shape)`` does.

    For exact expectations over all that can be drawn (:mod:`ebmlm.testing.every_number`).
    """
    before = _GIVEN.set(source)
    try:
        yield
    finally:
        _GIVEN.reset(before)


def _mixed(seed: int, identity: int) -> int:
    """Spread (seed, identity) over 63 bits, so that neighbouring ids get unrelated generators.

    The finaliser of SplitMix64 (Steele, Lea and Flood 2014).
    """
    value = (seed + (identity + 1) * 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return (value ^ (value >> 31)) >> 1


def sequence_uniforms(
    ids: Batch, shape: tuple[int, ...], generator: torch.Generator | None
) -> Tensor:
    """Uniform float64 numbers (batch, *shape) in [0, 1), a stream of its own for each id.

    ``generator`` (on the CPU) gives one seed for the whole batch. A longer first axis of ``shape``
    adds numbers at the end and changes none, so padding anchors change no draw.
    """
    seed = int(torch.randint(1 << 62, (), generator=generator))
    source = _GIVEN.get()
    if source is not None:
        return source(ids, shape).to(ids.device)
    count = torch.Size(shape).numel()
    streams = [
        torch.rand(
            count,
            dtype=torch.float64,
            generator=torch.Generator().manual_seed(_mixed(seed, identity)),
        )
        for identity in ids.tolist()
    ]
    return torch.stack(streams).view(-1, *shape).to(ids.device)
