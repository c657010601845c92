"""TRL's flat lists of completions as the groups that they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import gcd
from typing import Any

from ebmlm.errors import UserError

__all__ = ["Group", "groups_of"]

_SHOWN = 40
_PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class Group:
    """The completions of one prompt.

    Attributes:
        prompt: a text, or the messages of a conversation.
        reference: the real continuation, likewise.
        completions: token ids of each.
    """

    prompt: Any
    reference: Any
    completions: Sequence[Sequence[int]]


def groups_of(
    prompts: Sequence[Any],
    references: Sequence[Any],
    completion_ids: Sequence[Sequence[int]],
    size: int,
    columns: Mapping[str, Any],
) -> list[Group]:
    """Cut what TRL hands to a reward function into groups of consecutive completions.

    Args:
        prompts: of each completion.
        references: of each completion.
        completion_ids: token ids of each completion.
        size: completions of a prompt, N.
        columns: further columns of the data, which tell rows with the same prompt apart.

    Raises:
        UserError: where the completions are no whole groups, or a group has two prompts or two
            references, or every group looks like a part of a larger one.
    """
    count = len(prompts)
    if count == 0 or count % size:
        raise UserError(
            f"{count} completions and num_generations {size}: a reward over groups must be given"
            " whole ones; take the trainer's own num_generations (num_generations_eval must be the"
            " same), and of several processes let each have whole groups: make"
            " per_device_train_batch_size * steps_per_generation a multiple of num_generations"
        )
    for start in range(0, count, size):
        for name, values in (("prompts", prompts), ("references", references)):
            other = next((v for v in values[start : start + size] if v != values[start]), None)
            if other is not None:
                raise UserError(
                    f"completions {start} to {start + size - 1} have two {name},"
                    f" {_shown(values[start])} and {_shown(other)}: num_generations is {size} here"
                    " and must be the trainer's own"
                )
    _check_not_larger(prompts, references, size, columns)
    return [
        Group(prompts[start], references[start], completion_ids[start : start + size])
        for start in range(0, count, size)
    ]


def _check_not_larger(
    prompts: Sequence[Any], references: Sequence[Any], size: int, columns: Mapping[str, Any]
) -> None:
    """Refuse groups that always come in twos or more of the same: the trainer's are larger."""
    told = [values for values in columns.values() if _is_plain(values, len(prompts))]
    rows = zip(prompts, references, *told, strict=True)
    whole = gcd(*(len(list(run)) for _, run in groupby(rows)))
    if whole > size and whole % size == 0:
        raise UserError(
            f"each prompt has {whole} completions in a row and num_generations is {size} here:"
            " give the trainer's own num_generations; or, where the data really has the same row"
            " many times over, give its rows a column that tells them apart"
        )


def _is_plain(values: Any, count: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) == count
        and all(isinstance(value, _PLAIN) for value in values)
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
