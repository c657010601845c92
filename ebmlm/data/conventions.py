"""What in a row is the prompt, and what the completion."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ebmlm.data.json_rows import check_text, kind, text_in
from ebmlm.data.pair import Turn
from ebmlm.data.suggestions import missing_name
from ebmlm.errors import UserError

__all__ = [
    "BlankRowError",
    "Convention",
    "Messages",
    "PlainText",
    "PromptCompletion",
    "Side",
    "convention_of",
]

Side = str | Sequence[Turn]
"""A prompt or a completion: a text, or the messages of a conversation."""


class BlankRowError(Exception):
    """A row without a pair in it, to be skipped and counted under ``reason``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Convention(ABC):
    """Answers one question: what in a row is the prompt, and what the completion?"""

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The columns that are read; all others are kept for verifiers."""

    @abstractmethod
    def sides(self, place: str, row: Mapping[str, Any]) -> tuple[Side, Side]:
        """Return prompt and completion of a row: two texts, or two lists of messages.

        Args:
            place: the row's name for messages.
            row: values by column.

        Raises:
            BlankRowError: if there is no prompt or no completion.
            UserError: if the row is not in this convention.
        """


@dataclass(frozen=True)
class PromptCompletion(Convention):
    """A column for each: both texts, or both lists of ``{"role": ..., "content": ...}``.

    An empty text is a prompt too; null is none.

    Attributes:
        prompt: the column of the prompt.
        completion: the column of the completion.
    """

    prompt: str = "prompt"
    completion: str = "completion"

    @property
    def columns(self) -> tuple[str, ...]:
        """See :attr:`Convention.columns`."""
        return (self.prompt, self.completion)

    def sides(self, place: str, row: Mapping[str, Any]) -> tuple[Side, Side]:
        """See :meth:`Convention.sides`."""
        prompt, completion = (_side(place, row, column) for column in self.columns)
        if prompt is None:
            raise BlankRowError("no prompt")
        if completion is None or _blank(completion):
            raise BlankRowError("no completion")
        if isinstance(prompt, str) is not isinstance(completion, str):
            raise UserError(
                f"{place} has {kind(prompt)} in column {self.prompt!r} and {kind(completion)} in"
                f" column {self.completion!r}: both must be texts, or both lists of messages"
            )
        return prompt, completion


@dataclass(frozen=True)
class Messages(Convention):
    """A conversation in one column; its last assistant turn is the completion.

    The turns before it are the prompt. Turns after it answer to nothing and are left out.

    Attributes:
        column: the column of the conversation.
    """

    column: str = "messages"

    @property
    def columns(self) -> tuple[str, ...]:
        """See :attr:`Convention.columns`."""
        return (self.column,)

    def sides(self, place: str, row: Mapping[str, Any]) -> tuple[Side, Side]:
        """See :meth:`Convention.sides`."""
        turns = _side(place, row, self.column)
        if turns is None:
            raise BlankRowError("no messages")
        if isinstance(turns, str):
            raise UserError(
                f"{place} has a text in column {self.column!r}; it must be a list of messages:"
                " name a text column with the convention PlainText"
            )
        answers = [index for index, turn in enumerate(turns) if turn["role"] == "assistant"]
        if not answers or answers[-1] == 0:
            raise UserError(
                f"{place} has no assistant turn after another turn in column {self.column!r}; the"
                " last assistant turn is the completion, and what is before it the prompt"
            )
        prompt, completion = turns[: answers[-1]], turns[answers[-1] : answers[-1] + 1]
        if _blank(completion):
            raise BlankRowError("no completion")
        return prompt, completion


@dataclass(frozen=True)
class PlainText(Convention):
    """A text alone: the prompt is empty, and the whole text the completion.

    Attributes:
        column: the column of the text.
    """

    column: str = "text"

    @property
    def columns(self) -> tuple[str, ...]:
        """See :attr:`Convention.columns`."""
        return (self.column,)

    def sides(self, place: str, row: Mapping[str, Any]) -> tuple[Side, Side]:
        """See :meth:`Convention.sides`."""
        text = text_in(place, row, self.column)
        if text is None or not text.strip():
            raise BlankRowError("no text")
        return "", text


def convention_of(place: str, columns: Iterable[str]) -> Convention:
    """Return the convention that a data set with these columns is in.

    ``prompt`` and ``completion`` go before ``messages``, and ``messages`` before ``text``.

    Raises:
        UserError: if there is none of them.
    """
    names = list(columns)
    if {"prompt", "completion"} <= set(names):
        return PromptCompletion()
    if "messages" in names:
        return Messages()
    if "text" in names:
        return PlainText()
    for has, lacks in (("prompt", "completion"), ("completion", "prompt")):
        if has in names:
            raise UserError(
                f"{missing_name(place, 'column', lacks, names)}: pairs need both prompt and"
                " completion; rename a column, or name the two with the convention"
                " PromptCompletion"
            )
    shown = ", ".join(map(repr, names)) or "none"
    raise UserError(
        f"{place} has none of the columns that pairs are known by: prompt and completion,"
        f" messages, or text; it has {shown}: rename them, or name them with a convention such as"
        " PromptCompletion"
    )


def _side(place: str, row: Mapping[str, Any], column: str) -> Side | None:
    """Return a text or messages, None for null."""
    if not isinstance(row.get(column), list):
        try:
            return text_in(place, row, column)
        except UserError as error:
            if column not in row or isinstance(row[column], str):
                raise
            raise UserError(
                f"{place} has {kind(row[column])} in column {column!r}; it must be text or a list"
                " of messages: mend the row or name another column"
            ) from error
    turns = row[column]
    if not turns:
        raise UserError(f"{place} has an empty list of messages in column {column!r}")
    return [_turn(f"{place} has message {n} of column {column!r}", t) for n, t in enumerate(turns)]


def _turn(place: str, turn: object) -> Turn:
    if not isinstance(turn, Mapping):
        raise UserError(
            f'{place}: {kind(turn)}; a message must be {{"role": "user", "content": "..."}}'
        )
    for name in ("role", "content"):
        if not isinstance(turn.get(name), str):
            raise UserError(
                f"{place} with {kind(turn.get(name))} as its {name}, which must be text; leave out"
                " rows with other content, such as pictures and tool calls"
            )
        check_text(place, name, turn[name])
    # Tables fill what a message lacks with null, which is no part of it.
    return {name: value for name, value in turn.items() if value is not None}


def _blank(completion: Side) -> bool:
    if isinstance(completion, str):
        return not completion.strip()
    return not any(turn["content"].strip() for turn in completion)
