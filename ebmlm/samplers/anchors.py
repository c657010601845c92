"""Where rollouts start."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from ebmlm.errors import UserError
from ebmlm.rollouts import SequenceBatch
from ebmlm.typing import BatchAnchor

__all__ = ["AnchorPlacement", "CompletionAnchors", "GivenAnchors", "PromptEnd", "StridedAnchors"]


class AnchorPlacement(ABC):
    """Answers one question: at which tokens of a sequence do rollouts start?"""

    @abstractmethod
    def __call__(self, batch: SequenceBatch, horizon: int) -> tuple[BatchAnchor, BatchAnchor]:
        """Return anchors (batch, anchor), each the index of the first generated token, and a mask.

        Args:
            batch: real text.
            horizon: tokens of a rollout at most.
        """

    def counts(self, batch: SequenceBatch, horizon: int) -> Tensor:
        """Return how many valid anchors each sequence of a batch has, (batch,).

        Args:
            batch: real text.
            horizon: tokens of a rollout at most.
        """
        return self(batch, horizon)[1].sum(1)


@dataclass(frozen=True)
class StridedAnchors(AnchorPlacement):
    """An anchor every ``stride`` tokens, the first after ``context`` tokens.

    Counted from a sequence's first real token. An anchor is valid where the window of ``horizon``
    real tokens after it lies inside one document together with at least ``document_context``
    tokens before it; the others are masked.

    Args:
        stride: tokens between anchors.
        context: tokens before the first anchor.
        document_context: tokens of its own document that an anchor needs before it.

    Raises:
        UserError: for a stride, context or document context under 1; when called, for a context
            that leaves no room for a window in the batch.
    """

    stride: int = 8
    context: int = 8
    document_context: int = 1

    def __post_init__(self) -> None:
        for name in ("stride", "context", "document_context"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}: it must be at least 1 token")

    def __call__(self, batch: SequenceBatch, horizon: int) -> tuple[BatchAnchor, BatchAnchor]:
        """See :meth:`AnchorPlacement.__call__`."""
        length = batch.sequences.shape[1]
        if self.context + horizon > length:
            raise UserError(
                f"context {self.context} and horizon {horizon} do not fit a sequence of {length}"
                f" tokens: make it at least {self.context + horizon} tokens, or shorten them"
            )
        device = batch.sequences.device
        first = batch.sequence_mask.long().argmax(dim=1, keepdim=True)
        steps = torch.arange(self.context, length - horizon + 1, self.stride, device=device)
        anchors = first + steps
        inside = anchors + horizon <= length
        anchors = anchors.clamp(max=length - horizon)
        last = anchors + horizon - 1
        before = anchors - self.document_context
        real = batch.sequence_mask.gather(1, last)
        # Ids need not rise along the sequence, so the window's document is told by where it starts.
        same = batch.document_starts().gather(1, last) <= before
        return anchors, inside & same & real


@dataclass(frozen=True)
class GivenAnchors(AnchorPlacement):
    """The anchors that the data brings along: a prompt's end, places inside a completion.

    Raises:
        UserError: when called on a batch that has none.
    """

    def __call__(self, batch: SequenceBatch, horizon: int) -> tuple[BatchAnchor, BatchAnchor]:
        """See :meth:`AnchorPlacement.__call__`."""
        if batch.anchors is None or batch.anchor_mask is None:
            raise UserError(
                "this batch has no anchors: use data with anchors (prompt-completion pairs),"
                " or StridedAnchors for raw text"
            )
        return batch.anchors, batch.anchor_mask


@dataclass(frozen=True)
class CompletionAnchors(AnchorPlacement):
    """An anchor every ``stride`` tokens of each completion, the first ``min_context`` tokens in.

    Completions are what the data marks as ``targets``; one that follows no prompt at all is entered
    after its first token. The window after an anchor may reach past the completion's end: the
    reference is then as long as what is left, at least one token.

    Args:
        stride: tokens between anchors.
        min_context: tokens of the completion before its first anchor; 0 starts at the prompt's end.

    Raises:
        UserError: for a stride under 1 or a negative context; when called, for data without
            targets.
    """

    stride: int = 8
    min_context: int = 0

    def __post_init__(self) -> None:
        if self.stride < 1:
            raise UserError(f"stride is {self.stride}: it must be at least 1 token")
        if self.min_context < 0:
            raise UserError(f"min_context is {self.min_context}: it must be at least 0 tokens")

    def __call__(self, batch: SequenceBatch, horizon: int) -> tuple[BatchAnchor, BatchAnchor]:
        """See :meth:`AnchorPlacement.__call__`."""
        offset = _into_completion(batch)
        start = offset - self.min_context
        return _gathered((start >= 0) & (start % self.stride == 0))


@dataclass(frozen=True)
class PromptEnd(AnchorPlacement):
    """One anchor for each completion: where its prompt ends.

    Raises:
        UserError: when called, for data without targets.
    """

    def __call__(self, batch: SequenceBatch, horizon: int) -> tuple[BatchAnchor, BatchAnchor]:
        """See :meth:`AnchorPlacement.__call__`."""
        return _gathered(_into_completion(batch) == 0)


def _into_completion(batch: SequenceBatch) -> torch.Tensor:
    """How many tokens (batch, position) of its completion stand before each; negative outside."""
    if batch.targets is None:
        raise UserError(
            "this batch does not say what is a prompt and what a completion: use prompt-completion"
            " pairs (ebmlm.data.PairData), or StridedAnchors for raw text"
        )
    counted = batch.target_mask()
    starts = batch.document_starts()
    before = torch.zeros_like(counted)
    before[:, 1:] = counted[:, :-1] & (starts[:, 1:] == starts[:, :-1])
    index = torch.arange(counted.shape[1], device=counted.device)
    first = torch.where(counted & ~before, index, 0).cummax(dim=1).values
    return torch.where(counted, index - first, -1)


def _gathered(places: torch.Tensor) -> tuple[BatchAnchor, BatchAnchor]:
    """Indices (batch, anchor) of what is true in each row, in order, and which of them are real."""
    counts = places.sum(1)
    width = max(int(counts.max()), 1)
    order = places.long().argsort(dim=1, descending=True, stable=True)[:, :width]
    mask = torch.arange(width, device=places.device) < counts.unsqueeze(1)
    return torch.where(mask, order, 0), mask
