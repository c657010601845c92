from __future__ import annotations

from typing import Any

import pytest

from ebmlm.data import Convention, Messages, PlainText, PromptCompletion
from ebmlm.data.conventions import BlankRowError, convention_of
from ebmlm.errors import UserError

SYSTEM = {"role": "system", "content": "be brief"}
ASK = {"role": "user", "content": "why?"}
ANSWER = {"role": "assistant", "content": "so"}


@pytest.mark.parametrize(
    ("columns", "convention"),
    [
        (["id", "prompt", "completion"], PromptCompletion()),
        (["text", "messages", "prompt", "completion"], PromptCompletion()),
        (["prompt", "messages", "text"], Messages()),
        (["text", "completion"], PlainText()),
    ],
)
def test_convention_is_told_by_the_columns(columns: list[str], convention: Convention) -> None:
    assert convention_of("rows", columns) == convention


def test_columns_without_a_convention_name_the_fix() -> None:
    with pytest.raises(UserError, match=r"rows has none of .*; it has 'question', 'answer'"):
        convention_of("rows", ["question", "answer"])
    with pytest.raises(UserError, match=r"no column 'completion' \(did you mean 'completions'"):
        convention_of("rows", ["prompt", "completions"])
    with pytest.raises(UserError, match=r"no column 'prompt'.*it has 'completion', 'n'"):
        convention_of("rows", ["completion", "n"])


@pytest.mark.parametrize(
    ("convention", "row", "sides"),
    [
        (PromptCompletion(), {"prompt": "a ", "completion": " b\n"}, ("a ", " b\n")),
        (PromptCompletion(), {"prompt": "", "completion": "b"}, ("", "b")),
        (
            PromptCompletion(),
            {"prompt": [SYSTEM, ASK], "completion": [ANSWER]},
            ([SYSTEM, ASK], [ANSWER]),
        ),
        (PromptCompletion("q", "a"), {"q": "x", "a": "y"}, ("x", "y")),
        (Messages(), {"messages": [SYSTEM, ASK, ANSWER]}, ([SYSTEM, ASK], [ANSWER])),
        (Messages(), {"messages": [ASK, ANSWER] * 2}, ([ASK, ANSWER, ASK], [ANSWER])),
        (Messages("turns"), {"turns": [ASK, ANSWER, ASK]}, ([ASK], [ANSWER])),
        (PlainText(), {"text": "a b"}, ("", "a b")),
        # Tables fill what a message lacks with null.
        (Messages(), {"messages": [{**ASK, "name": None}, ANSWER]}, ([ASK], [ANSWER])),
    ],
)
def test_sides_of_a_row(convention: Convention, row: dict[str, Any], sides: Any) -> None:
    assert convention.sides("row", row) == sides


@pytest.mark.parametrize(
    ("convention", "row", "reason"),
    [
        (PromptCompletion(), {"prompt": "a", "completion": None}, "no completion"),
        (PromptCompletion(), {"prompt": "a", "completion": " \n"}, "no completion"),
        (PromptCompletion(), {"prompt": None, "completion": "b"}, "no prompt"),
        (
            PromptCompletion(),
            {"prompt": [ASK], "completion": [{**ANSWER, "content": " "}]},
            "no completion",
        ),
        (Messages(), {"messages": [ASK, {**ANSWER, "content": ""}]}, "no completion"),
        (Messages(), {"messages": None}, "no messages"),
        (PlainText(), {"text": " "}, "no text"),
        (PlainText(), {"text": None}, "no text"),
    ],
)
def test_rows_without_a_pair(convention: Convention, row: dict[str, Any], reason: str) -> None:
    with pytest.raises(BlankRowError, match=f"^{reason}$"):
        convention.sides("row", row)


@pytest.mark.parametrize(
    ("convention", "row", "message"),
    [
        (PromptCompletion(), {"prompt": "a"}, "row has no column 'completion'"),
        (
            PromptCompletion(),
            {"prompt": 3, "completion": "b"},
            "row has a number in column 'prompt'; it must be text or a list of messages",
        ),
        (
            PromptCompletion(),
            {"prompt": "a", "completion": {"role": "assistant"}},
            "row has an object in column 'completion'",
        ),
        (
            PromptCompletion(),
            {"prompt": "a", "completion": [ANSWER]},
            "row has a text in column 'prompt' and an array in column 'completion': both",
        ),
        (PromptCompletion(), {"prompt": [], "completion": [ANSWER]}, "empty list of messages"),
        (
            PromptCompletion(),
            {"prompt": "a", "completion": "\ud800"},
            "half a surrogate pair in column 'completion'",
        ),
        (Messages(), {"messages": "hello"}, "a text in column 'messages'; .* PlainText"),
        (Messages(), {"messages": [ASK]}, "no assistant turn after another turn"),
        (Messages(), {"messages": [ANSWER]}, "no assistant turn after another turn"),
        (Messages(), {"messages": [ASK, "so"]}, "message 1 of column 'messages': a text"),
        (
            Messages(),
            {"messages": [{"from": "human", "content": "x"}, ANSWER]},
            "message 0 .* with null as its role, which must be text",
        ),
        (
            Messages(),
            {"messages": [{"role": "user", "content": [{"type": "image"}]}, ANSWER]},
            "message 0 .* with an array as its content, .* pictures",
        ),
        (
            Messages(),
            {"messages": [{"role": "user", "content": "\udc00"}, ANSWER]},
            "half a surrogate pair",
        ),
        (PlainText(), {"text": ["a"]}, "row has an array in column 'text'; it must be text"),
    ],
)
def test_malformed_rows_are_refused(
    convention: Convention, row: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        convention.sides("row", row)
