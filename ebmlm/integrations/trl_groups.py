"""TRL's flat lists of completions as the groups that they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ebmlm.errors import UserError

__all__ = ["Group", "groups_of"]

_SHOWN = 40


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
) -> list[Group]:
    """Cut what TRL hands to a reward function into groups of consecutive completions.

    Args:
        prompts: of each completion.
        references: of each completion.
        completion_ids: token ids of each completion.
        size: completions of a prompt, N.

    Raises:
        UserError: where the completions are no whole groups, or a group has two prompts or two
            references.
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
    return [
        Group(prompts[start], references[start], completion_ids[start : start + size])
        for start in range(0, count, size)
    ]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
