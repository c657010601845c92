"""How a law is tried: many small cases, and the smallest one that breaks it."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextvars import ContextVar
from typing import Protocol, TypeVar
from unittest import SkipTest

import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor

from ebmlm.testing.describe import largest_gap, numbers

__all__ = [
    "EXAMPLES",
    "DoesNotApply",
    "Draw",
    "LawViolation",
    "cases_tried",
    "counterexample",
    "for_all",
    "require",
    "require_equal",
    "tolerance",
]

T = TypeVar("T")

EXAMPLES = 50
"""Cases that a law is tried on unless another number is given."""

# Numbers that are printed at most; of more, the two that differ most.
_MOST_SHOWN = 64

_DRAWN = re.compile(r"^Draw \d+ \((.*?)\): ")
_TRIED: ContextVar[int] = ContextVar("_TRIED", default=0)


class LawViolation(AssertionError):
    """An implementation breaks a law; the message says how, with a counterexample."""


class DoesNotApply(SkipTest):
    """A law says nothing about this implementation; pytest counts it as skipped."""


class Draw(Protocol):
    """Draws one value from a strategy, under a name that a counterexample is printed with."""

    def __call__(self, strategy: SearchStrategy[T], label: str | None = None) -> T:
        """Return the value."""


def for_all(holds: Callable[[Draw], None], examples: int) -> None:
    """Try ``holds`` on ``examples`` drawn cases; the same ones at every call.

    Args:
        holds: draws what it needs and raises where the law is broken.
        examples: how many cases.

    Raises:
        LawViolation: with the smallest case that was found. Whatever else ``holds`` raises has that
            case in its notes.
    """

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def tried(data: st.DataObject) -> None:
        _TRIED.set(_TRIED.get() + 1)
        holds(data.draw)

    try:
        tried()
    except LawViolation as failure:
        raise LawViolation("\n".join([str(failure), *counterexample(failure)])) from None


def counterexample(failure: BaseException) -> list[str]:
    """What was drawn for the case in which ``failure`` was raised, one text a draw."""
    notes = getattr(failure, "__notes__", [])
    return [_DRAWN.sub(r"\1: ", note) for note in notes if _DRAWN.match(note)]


def cases_tried() -> int:
    """How many cases laws were tried on so far in this thread, those of shrinking too."""
    return _TRIED.get()


def require(condition: bool, message: str) -> None:
    """Raise a :class:`LawViolation` with ``message`` unless ``condition``."""
    if not condition:
        raise LawViolation(message)


def tolerance(*values: Tensor) -> float:
    """What rounding may do: the square root of the coarsest precision, times the largest number."""
    precision = max(
        (torch.finfo(value.dtype).eps for value in values if value.is_floating_point()), default=0.0
    )
    largest = max(
        (float(value.detach().abs().max()) for value in values if value.numel()), default=0.0
    )
    return precision**0.5 * max(1.0, largest)


def require_equal(found: Tensor, expected: Tensor, what: str, atol: float | None = None) -> None:
    """Raise a :class:`LawViolation` unless two tensors agree to rounding.

    Args:
        found: what the implementation says.
        expected: what the law says.
        what: names the quantity, and the law in passing.
        atol: largest absolute difference; :func:`tolerance` unless given.
    """
    require(
        found.shape == expected.shape,
        f"{what}: shape {tuple(found.shape)} instead of {tuple(expected.shape)}",
    )
    found, expected = found.detach(), expected.detach()
    gap = largest_gap(found, expected)
    if gap <= (tolerance(expected) if atol is None else atol):
        return
    if found.numel() > _MOST_SHOWN:
        worst = int((found - expected).abs().nan_to_num(torch.inf).argmax())
        place = [int(index) for index in torch.unravel_index(torch.tensor(worst), found.shape)]
        what = f"{what} (of {found.numel()}, at {place})"
        found, expected = found.flatten()[worst], expected.flatten()[worst]
    raise LawViolation(
        f"{what}: off by {gap:.3g}\n  found:    {numbers(found)}\n  expected: {numbers(expected)}"
    )
