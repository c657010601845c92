"""What a function of text or tokens reads of a continuation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence

import torch

from ebmlm.errors import UserError
from ebmlm.texts import Texts

__all__ = ["Reading", "TextReading", "TokenReading"]


class Reading(ABC):
    """Answers one question: what is read of a continuation, and how much before it?

    Attributes:
        context: tokens before the anchor, in its own document, that are read too.
    """

    context: int

    @abstractmethod
    def __call__(self, context: Sequence[int], tokens: Sequence[int]) -> Hashable:
        """Return what a function is given.

        Args:
            context: the last tokens before the anchor, at most as many as :attr:`context`.
            tokens: the continuation's real tokens.
        """


class TokenReading(Reading):
    """Token ids, as a tuple: the tail of the context, then the continuation.

    Raises:
        UserError: for a negative context.
    """

    def __init__(self, context: int = 0) -> None:
        self.context = _checked(context)

    def __call__(self, context: Sequence[int], tokens: Sequence[int]) -> tuple[int, ...]:
        """See :meth:`Reading.__call__`."""
        return (*context, *tokens)


class TextReading(Reading):
    """Decoded text: the tail of the context, then the continuation.

    Special tokens are left out, and a character of which only some bytes are there is decoded as a
    replacement character.

    Args:
        texts: of the model's tokeniser.
        context: tokens.

    Raises:
        UserError: for a negative context.
    """

    def __init__(self, texts: Texts, context: int = 0) -> None:
        self.texts = texts
        self.context = _checked(context)

    def __call__(self, context: Sequence[int], tokens: Sequence[int]) -> str:
        """See :meth:`Reading.__call__`."""
        before = torch.tensor([], dtype=torch.long)
        return self.texts.after(before, torch.tensor([*context, *tokens], dtype=torch.long))


def _checked(context: int) -> int:
    if context < 0:
        raise UserError(f"context is {context}: read at least 0 tokens before a continuation")
    return context
