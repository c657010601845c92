"""How much a text repeats itself."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

__all__ = ["repetition"]


def repetition(tokens: Sequence[Hashable], order: int = 4) -> float:
    """Return the share of n-grams that stood in the text before: ``1 - distinct / all``.

    Zero for a text too short for two n-grams. The measure of Welleck et al. 2020 (seq-rep-n).

    Args:
        tokens: of one text.
        order: n.
    """
    grams = [tuple(tokens[start : start + order]) for start in range(len(tokens) - order + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0
