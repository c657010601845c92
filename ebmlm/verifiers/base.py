"""The verifier: how well does a completion answer its prompt?"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ebmlm.texts import Attempt

__all__ = ["FunctionVerifier", "Verifier"]


class Verifier(ABC):
    """Answers one question: how well does each completion answer its prompt?

    A score is finite, high is good, and 1 is a solved item; partial credit lies between 0 and 1.
    A score depends on its own attempt only. What the model wrote is never trusted.

    Attributes:
        solved_from: the score from which an attempt counts as solved.
    """

    solved_from: float = 1.0

    @abstractmethod
    def __call__(self, attempts: Sequence[Attempt]) -> list[float]:
        """Return the score of each attempt, in their order.

        Args:
            attempts: as many as there are; an implementation may take them in parallel.

        Raises:
            UserError: if a row lacks a column that the verifier reads.
        """


class FunctionVerifier(Verifier):
    """``function(prompt, completion, row) -> float or bool``, attempt by attempt.

    Args:
        function: any callable.

    Raises:
        ValueError: when called, if the function returns something that is not finite.
    """

    def __init__(self, function: Callable[[str, str, Mapping[str, Any]], float]) -> None:
        self.function = function

    def __call__(self, attempts: Sequence[Attempt]) -> list[float]:
        """See :meth:`Verifier.__call__`."""
        scores = []
        for attempt in attempts:
            score = float(self.function(attempt.prompt, attempt.completion, attempt.row))
            if not math.isfinite(score):
                raise ValueError(f"a verifier returned {score}: scores must be finite numbers")
            scores.append(score)
        return scores
