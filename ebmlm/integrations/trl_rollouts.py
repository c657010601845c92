"""From TRL's prompts, references and token ids to rollouts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ebmlm.data.pair import Pair
from ebmlm.data.pair_tokens import PairTokeniser
from ebmlm.distribution import Categorical
from ebmlm.errors import UserError
from ebmlm.integrations.trl_groups import Group
from ebmlm.rollouts import Rollouts, SequenceBatch, gather_continuations

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["GroupRollouts"]


class GroupRollouts:
    """Lays groups out: a sequence each, prompt and reference, with one anchor at the prompt's end.

    The prompt's tokens are those that TRL gives to the model: the tokeniser's own with special
    tokens, or the chat template's with the beginning of an answer. The reference's are found as
    :class:`~ebmlm.data.pair_tokens.PairTokeniser` finds a completion's. Nothing depends on which
    groups are laid out together.

    Args:
        tokenizer: of the trainer.
        horizon: tokens of a completion at most, G; references are cut to it.
        references_end: whether a reference is over where its text is, so that the end-of-sequence
            token follows it; false for pieces of a longer text.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, horizon: int, references_end: bool
    ) -> None:
        self._tokenizer = tokenizer
        self._pairs = PairTokeniser(tokenizer)
        self._horizon = horizon
        self._references_end = references_end

    def __call__(self, groups: Sequence[Group]) -> Rollouts:
        """Return rollouts of one anchor a sequence; tokens after an end do not count.

        Raises:
            UserError: for a prompt without tokens, a reference that is missing or empty, or a
                completion that is longer than the horizon.
        """
        prompts, references = zip(*map(self._tokens, groups), strict=True)
        completions = [[self._ended(ids) for ids in group.completions] for group in groups]
        sequences, sequence_mask = _padded(
            [p + r for p, r in zip(prompts, references, strict=True)]
        )
        anchors = torch.tensor([[len(prompt)] for prompt in prompts])
        anchor_mask = torch.ones_like(anchors, dtype=torch.bool)
        batch = SequenceBatch.of(sequences, sequence_mask, anchors=anchors, anchor_mask=anchor_mask)
        longest = max(map(len, references))
        drawn, mask = _padded([ids for group in completions for ids in group], longest)
        shape = (len(groups), 1, len(groups[0].completions), drawn.shape[-1])
        real, real_mask = gather_continuations(batch, anchors, anchor_mask, longest)
        return Rollouts(
            batch=batch,
            anchors=anchors,
            anchor_mask=anchor_mask,
            completions=drawn.view(shape),
            completion_mask=mask.view(shape),
            references=real,
            reference_mask=real_mask,
            log_probs=torch.zeros(shape),
            distribution=Categorical(),
        )

    def _tokens(self, group: Group) -> tuple[list[int], list[int]]:
        """Tokens of the prompt and of the reference."""
        prompt, reference = group.prompt, group.reference
        if isinstance(reference, str) and not isinstance(prompt, str):
            # TRL makes a message of a completion in the same way.
            reference = [{"role": "assistant", "content": reference}]
        if not reference:
            raise UserError(
                f"the reference of prompt {prompt!r} is {reference!r}: every row needs a real"
                " continuation to compare with; leave out those without"
            )
        (tokens,) = self._pairs([Pair("", prompt, reference)])
        if tokens is None:
            raise UserError(
                f"the reference {reference!r} of prompt {prompt!r} has no tokens of its own: leave"
                " the row out"
            )
        begun = [*tokens.start, *tokens.prompt]
        if isinstance(prompt, str):
            begun = list(self._tokenizer(prompt)["input_ids"])
        if not begun:
            raise UserError(
                f"prompt {prompt!r} has no tokens: a completion needs at least one before it; leave"
                " the row out, or take a tokeniser with a beginning-of-sequence token"
            )
        real = list(tokens.completion)
        if not self._references_end and len(real) > 1 and real[-1] == self._tokenizer.eos_token_id:
            real = real[:-1]
        return begun, real[: self._horizon]

    def _ended(self, completion: Sequence[int]) -> list[int]:
        """A completion up to its end, which counts."""
        ids = [int(token) for token in completion]
        if len(ids) > self._horizon:
            raise UserError(
                f"a completion of {len(ids)} tokens and max_completion_length {self._horizon}: the"
                " reward must be told the trainer's own max_completion_length"
            )
        end = self._tokenizer.eos_token_id
        return ids[: ids.index(end) + 1] if end in ids else ids


def _padded(rows: Sequence[list[int]], least: int = 1) -> tuple[Tensor, Tensor]:
    """Rows (row, token) with padding after them, ``least`` tokens wide or more, and their mask."""
    width = max(least, *map(len, rows))
    tokens = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.bool)
    for row, ids in enumerate(rows):
        tokens[row, : len(ids)] = torch.tensor(ids, dtype=torch.long)
        mask[row, : len(ids)] = True
    return tokens, mask
