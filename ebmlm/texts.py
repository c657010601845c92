"""From token ids back to text: what was written after which prompt, and for which item of data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from ebmlm.errors import UserError
from ebmlm.rollouts import Rollouts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Attempt", "Texts", "Written"]

# Tokens of the prompt that are decoded with a completion; more would change nothing.
_CONTEXT = 16


@dataclass(frozen=True)
class Attempt:
    """One completion of one prompt, as text.

    Attributes:
        prompt: what was to be completed; of a conversation, as the chat template renders it.
        completion: what was written, without end-of-sequence tokens.
        row: the item's columns: ``prompt``, ``completion`` (the real one) and whatever else the
            data has, such as tests or an expected answer.
    """

    prompt: str
    completion: str
    row: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Written:
    """An attempt and where it stands among the rollouts: (batch, anchor, sample)."""

    place: tuple[int, int, int]
    attempt: Attempt


class Texts:
    """A tokeniser, and the items that the documents of a batch are.

    Of prompt-completion pairs, ``SequenceBatch.documents`` holds the id of each token's own item.

    Args:
        tokeniser: of the model.
        items: by id, each item's columns; ``prompt`` and ``completion`` are texts.
    """

    def __init__(
        self, tokeniser: PreTrainedTokenizerBase, items: Mapping[int, Mapping[str, Any]]
    ) -> None:
        self.tokeniser = tokeniser
        self.items = items

    def attempts(self, rollouts: Rollouts) -> list[Written]:
        """Return every rollout at a valid anchor as a whole completion of its item's prompt.

        Where an anchor stands inside a completion, the real tokens before it belong to the attempt.
        Of raw text, the prompt is what stands before the anchor in its document, and the row is
        empty.

        Raises:
            UserError: if the batch has an item that is not known here.
        """
        batch = rollouts.batch
        starts = batch.document_starts()
        written = []
        for row, anchor in rollouts.anchor_mask.nonzero().tolist():
            place = int(rollouts.anchors[row, anchor])
            start = int(starts[row, place - 1])
            before = batch.sequences[row, start:place]
            if batch.targets is None:
                prompt, begun = before, before[:0]
                item: Mapping[str, Any] = {}
            else:
                # Not only what is predicted: a completion may have nothing before it.
                begun = before[batch.targets[row, start:place]]
                prompt = before[: len(before) - len(begun)]
                item = self._item(int(batch.documents[row, place - 1]))
            asked = item["prompt"] if item else self._decoded(prompt.tolist())
            for sample in range(rollouts.samples):
                mask = rollouts.completion_mask[row, anchor, sample]
                drawn = rollouts.completions[row, anchor, sample][mask]
                completion = self.after(prompt, torch.cat([begun, drawn]))
                attempt = Attempt(asked, completion, item)
                written.append(Written((row, anchor, sample), attempt))
        return written

    def after(self, prompt: torch.Tensor, completion: torch.Tensor) -> str:
        """Return the text (token,) ids add to a prompt's (token,), special tokens left out.

        Both are decoded together: some tokenisers drop a space where a text begins.
        """
        context = prompt[-_CONTEXT:].tolist()
        whole = self._decoded(context + completion.tolist())
        prefix = self._decoded(context)
        if whole.startswith(prefix):
            return whole[len(prefix) :]
        return self._decoded(completion.tolist())

    def _decoded(self, tokens: list[int]) -> str:
        return str(
            self.tokeniser.decode(
                tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        )

    def _item(self, identity: int) -> Mapping[str, Any]:
        try:
            return self.items[identity]
        except KeyError:
            raise UserError(
                f"no item {identity} among the {len(self.items)} known here: a verifier needs the"
                " texts of the same data that the batch was made from"
            ) from None
