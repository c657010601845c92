"""What a strategy draws: whether a kind of case occurs, how often, and the smallest case."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from hypothesis import Phase, find, given, settings
from hypothesis.strategies import SearchStrategy

T = TypeVar("T")

# A law is tried on 50 cases, a dozen laws on as many. What is not among this many is never seen;
# and so many that no other version of Hypothesis misses a kind by chance.
CASES = 500


def occurring(strategy: SearchStrategy[T], kind: Callable[[T], object]) -> T:
    """The first case of a kind among those that are drawn, not made smaller.

    Raises ``NoSuchExample`` where none of them is of that kind.
    """
    drawn = settings(max_examples=CASES, derandomize=True, database=None, phases=(Phase.generate,))
    return find(strategy, lambda case: bool(kind(case)), settings=drawn)


def share(strategy: SearchStrategy[T], kind: Callable[[T], object], cases: int = 200) -> float:
    """How many of the cases that are drawn are of a kind, as a fraction."""
    kinds: list[bool] = []

    @settings(max_examples=cases, derandomize=True, database=None, phases=(Phase.generate,))
    @given(strategy)
    def count(case: T) -> None:
        kinds.append(bool(kind(case)))

    count()
    return sum(kinds) / len(kinds)


def smallest(strategy: SearchStrategy[T]) -> T:
    """What any case is made smaller to where nothing is asked of it."""
    drawn = settings(derandomize=True, database=None, phases=(Phase.generate, Phase.shrink))
    return find(strategy, lambda _: True, settings=drawn)
