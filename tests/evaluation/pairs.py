"""Prompt-completion rows and a table model whose completions are known.

The model looks at one byte: after ``q`` it writes ``y`` or ``n`` and ends, after ``l`` it writes
``l`` for ever, after ``a`` it writes ``bcd`` and ends.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ebmlm.data import TextRow
from ebmlm.testing import TabularLanguageModel
from ebmlm.texts import Texts
from ebmlm.verifiers import FunctionVerifier
from tests.data.conftest import byte_tokenizer

TOKENISER = byte_tokenizer()
END = len(TOKENISER) - 1
# Chance of y after q.
YES = 0.7


def ids(text: str) -> list[int]:
    found: list[int] = TOKENISER(text, add_special_tokens=False)["input_ids"]
    return found


def byte(letter: str) -> int:
    (found,) = ids(letter)
    return found


def model(yes: float = YES) -> TabularLanguageModel:
    table = TabularLanguageModel(
        END + 1,
        1,
        end_tokens=(END,),
        layers=1,
        hidden=2,
        scale=0.0,
        generator=torch.Generator().manual_seed(0),
    )
    after: dict[str, dict[int, float]] = {
        "q": {byte("y"): yes, byte("n"): 1 - yes},
        "l": {byte("l"): 1.0},
        "y": {END: 1.0},
        "n": {END: 1.0},
        "a": {byte("b"): 1.0},
        "b": {byte("c"): 1.0},
        "c": {byte("d"): 1.0},
        "d": {END: 1.0},
    }
    with torch.no_grad():
        for letter, chances in after.items():
            table.logits[byte(letter)] = -1e9
            for token, chance in chances.items():
                table.logits[byte(letter), token] = math.log(chance)
    return table


def row(identity: int, prompt: str, completion: str) -> TextRow:
    before, after = ids(prompt), [*ids(completion), END]
    sequence = torch.tensor(before + after)
    targets = torch.arange(len(sequence)) >= len(before)
    return TextRow(sequence, torch.full_like(sequence, identity), identity, targets)


def texts(pairs: Sequence[tuple[str, str]]) -> Texts:
    items = {
        100 + place: {"prompt": prompt, "completion": completion}
        for place, (prompt, completion) in enumerate(pairs)
    }
    return Texts(TOKENISER, items)


def rows(pairs: Sequence[tuple[str, str]]) -> list[TextRow]:
    return [row(100 + place, *pair) for place, pair in enumerate(pairs)]


def _equal(prompt: str, completion: str, item: Mapping[str, Any]) -> bool:
    return bool(completion == item["completion"])


def knows() -> FunctionVerifier:
    """Solved is what equals the real completion."""
    return FunctionVerifier(_equal)
