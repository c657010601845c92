"""Pairs that are longer than a row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

from ebmlm.data.pair_tokens import PairTokens
from ebmlm.errors import UserError

__all__ = ["DropLong", "KeepPromptEnd", "Truncation"]


class Truncation(ABC):
    """Answers one question: what is kept of a pair that is longer than a row?"""

    @abstractmethod
    def __call__(self, pair: PairTokens, length: int) -> PairTokens | None:
        """Return a pair of at most ``length`` tokens, None to drop it.

        A completion that is cut no longer ends, so it loses its end-of-sequence token. A pair that
        fits is returned as it is.
        """


@dataclass(frozen=True)
class KeepPromptEnd(Truncation):
    """Cut the prompt from the left, then the completion from the right.

    The prompt is not cut under ``share`` of the row, so that a long completion leaves something to
    answer to. What stands before the prompt (beginning-of-sequence) is kept. A verifier still gets
    the whole prompt as text.

    Attributes:
        share: of a row's tokens, which a long prompt keeps at least; at least 0 and below 1.

    Raises:
        UserError: when built, if the share is out of range.
    """

    share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise UserError(
                f"share is {self.share}; a prompt's share of the row must be at least 0 and below 1"
            )

    def __call__(self, pair: PairTokens, length: int) -> PairTokens | None:
        """See :meth:`Truncation.__call__`."""
        if len(pair) <= length:
            return pair
        # One token at least is left to learn, and one to learn it from.
        start = pair.start[: length - 1]
        room = length - len(start)
        floor = min(len(pair.prompt), int(self.share * length), room - 1)
        kept = max(floor, room - len(pair.completion))
        prompt = pair.prompt[len(pair.prompt) - kept :] if kept < len(pair.prompt) else pair.prompt
        return replace(
            pair, start=start, prompt=prompt, completion=pair.completion[: room - len(prompt)]
        )


@dataclass(frozen=True)
class DropLong(Truncation):
    """Drop pairs that do not fit whole."""

    def __call__(self, pair: PairTokens, length: int) -> PairTokens | None:
        """See :meth:`Truncation.__call__`."""
        return pair if len(pair) <= length else None
