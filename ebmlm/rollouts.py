"""The data that every part understands: sequences, rollouts, features, scores and energy terms.

Axes and vocabulary are those of docs/concepts.md. Everything here is frozen: parts return new
values and never write into what they were given.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from ebmlm.distribution import TokenDistribution
from ebmlm.typing import (
    Batch,
    BatchAnchor,
    BatchAnchorReference,
    BatchAnchorSampleToken,
    BatchPosition,
)

__all__ = ["Rollouts", "Scores", "SequenceBatch", "gather_continuations"]

T = TypeVar("T", bound="_Tensors")


@dataclass(frozen=True, eq=False)
class _Tensors:
    """A frozen record of tensors that moves between devices as one."""

    def map(self: T, function: Callable[[Tensor], Tensor]) -> T:
        """Return a copy with ``function`` applied to every tensor; other fields are kept."""
        changes: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                changes[field.name] = function(value)
        return dataclasses.replace(self, **changes)

    def to(self: T, device: torch.device | str) -> T:
        """Return a copy whose tensors are on ``device``."""
        return self.map(lambda tensor: tensor.to(device))


@dataclass(frozen=True, eq=False)
class SequenceBatch(_Tensors):
    """Token sequences of real text, packed or padded on either side.

    Attributes:
        sequences: (batch, position) token ids; what stands where ``sequence_mask`` is false is
            never looked at.
        sequence_mask: (batch, position) true at real tokens, which must be contiguous.
        documents: (batch, position) the document each token belongs to; attention, positions and
            losses stay inside a document. An id that comes back after another starts anew.
        ids: (batch,) a number per sequence that stays the same however batches are cut; random
            draws for a sequence depend on it and not on its neighbours. Its place in the batch
            where none is given.
        anchors: (batch, anchor) where rollouts start, for data that says so (a prompt's end).
        anchor_mask: (batch, anchor) which of these are real.
        targets: (batch, position) the tokens that cross-entropy counts, for data that says so
            (completions, and not their prompts); all where it is not given.
    """

    sequences: BatchPosition
    sequence_mask: BatchPosition
    documents: BatchPosition
    ids: Batch
    anchors: BatchAnchor | None = None
    anchor_mask: BatchAnchor | None = None
    targets: BatchPosition | None = None

    @classmethod
    def of(
        cls,
        sequences: BatchPosition,
        sequence_mask: BatchPosition | None = None,
        documents: BatchPosition | None = None,
        ids: Batch | None = None,
        anchors: BatchAnchor | None = None,
        anchor_mask: BatchAnchor | None = None,
        targets: BatchPosition | None = None,
    ) -> SequenceBatch:
        """Build a batch, filling in: all tokens real, one document each, ids by place.

        Raises:
            ValueError: if shapes disagree, or a mask has real tokens that are not contiguous.
        """
        if sequence_mask is None:
            sequence_mask = torch.ones_like(sequences, dtype=torch.bool)
        if documents is None:
            documents = torch.zeros_like(sequences)
        if ids is None:
            ids = torch.arange(sequences.shape[0], device=sequences.device)
        if anchors is not None and anchor_mask is None:
            anchor_mask = torch.ones_like(anchors, dtype=torch.bool)
        given = {"sequence_mask": sequence_mask, "documents": documents, "targets": targets}
        for name, value in given.items():
            if value is not None and value.shape != sequences.shape:
                raise ValueError(
                    f"{name} has shape {tuple(value.shape)} and sequences {tuple(sequences.shape)}:"
                    " both must be (batch, position)"
                )
        edges = sequence_mask.long().diff(dim=1).abs().sum(dim=1)
        ends = sequence_mask[:, 0].long() + sequence_mask[:, -1].long()
        if (edges + ends > 2).any():
            raise ValueError(
                "sequence_mask has gaps: the real tokens of a sequence must be contiguous,"
                " with padding before or after them only"
            )
        real = sequence_mask.bool()
        return cls(sequences, real, documents, ids, anchors, anchor_mask, targets)

    def __len__(self) -> int:
        return int(self.sequences.shape[0])

    def rows(self, start: int, stop: int) -> SequenceBatch:
        """Return the sequences ``start`` to ``stop`` (exclusive) as a batch of their own."""
        return self.map(lambda tensor: tensor[start:stop])

    def document_starts(self) -> BatchPosition:
        """Index (batch, position) of the first token of each token's own document."""
        real, documents = self.sequence_mask, self.documents
        first = torch.ones_like(real)
        first[:, 1:] = (real[:, 1:] != real[:, :-1]) | (documents[:, 1:] != documents[:, :-1])
        index = torch.arange(real.shape[1], device=real.device)
        return torch.where(first, index, 0).cummax(dim=1).values

    def positions(self) -> BatchPosition:
        """Position (batch, position) of each token in its own document, from 0; 0 at padding."""
        index = torch.arange(self.sequences.shape[1], device=self.sequences.device)
        return torch.where(self.sequence_mask, index - self.document_starts(), 0)

    def target_mask(self) -> BatchPosition:
        """True (batch, position) at the tokens that cross-entropy counts.

        They are real, have a predecessor in their document (its first token has no context to be
        predicted from), and are among the ``targets`` where data says which.
        """
        predicted = self.sequence_mask & (self.positions() > 0)
        return predicted if self.targets is None else predicted & self.targets


def gather_continuations(
    batch: SequenceBatch, anchors: BatchAnchor, anchor_mask: BatchAnchor, length: int
) -> tuple[BatchAnchorReference, BatchAnchorReference]:
    """Return the real text after each anchor, (batch, anchor, reference), with its mask.

    A continuation ends with its document: tokens of the next one, padding, and everything at
    invalid anchors are masked.
    """
    offsets = torch.arange(length, device=anchors.device)
    index = anchors.unsqueeze(-1) + offsets
    inside = index < batch.sequences.shape[1]
    index = index.clamp(0, batch.sequences.shape[1] - 1)
    flat = index.flatten(1)
    tokens = batch.sequences.gather(1, flat).view_as(index)
    real = batch.sequence_mask.gather(1, flat).view_as(index)
    starts = batch.document_starts()
    own = starts.gather(1, anchors.clamp(1, batch.sequences.shape[1]) - 1)
    same = starts.gather(1, flat).view_as(index) == own.unsqueeze(-1)
    mask = inside & real & same & anchor_mask.unsqueeze(-1)
    return torch.where(mask, tokens, 0), mask


@dataclass(frozen=True, eq=False)
class Rollouts(_Tensors):
    """Continuations drawn from nested prefixes of real text, with the text they compare to.

    Attributes:
        batch: the sequences the rollouts branch off from.
        anchors: (batch, anchor) index of the first generated token.
        anchor_mask: (batch, anchor) true at valid anchors; nothing depends on the others.
        completions: (batch, anchor, sample, token) generated token ids.
        completion_mask: same shape; false after an end-of-sequence token.
        references: (batch, anchor, reference) the real continuation.
        reference_mask: same shape.
        log_probs: (batch, anchor, sample, token) log-probability in nats of each token under
            ``distribution`` at the time it was drawn; zero where the mask is false.
        distribution: the map from logits to the distribution that was drawn from; scoring uses
            the same object, so that sampling and scoring cannot disagree.
    """

    batch: SequenceBatch
    anchors: BatchAnchor
    anchor_mask: BatchAnchor
    completions: BatchAnchorSampleToken
    completion_mask: BatchAnchorSampleToken
    references: BatchAnchorReference
    reference_mask: BatchAnchorReference
    log_probs: BatchAnchorSampleToken
    distribution: TokenDistribution

    @classmethod
    def given(
        cls,
        batch: SequenceBatch,
        anchors: BatchAnchor,
        anchor_mask: BatchAnchor,
        completions: BatchAnchorSampleToken,
        distribution: TokenDistribution,
        completion_mask: BatchAnchorSampleToken | None = None,
    ) -> Rollouts:
        """Rollouts with completions from elsewhere: not drawn, so their ``log_probs`` are zero.

        References are the real text after the anchors, as long as the completions; all tokens
        count where no ``completion_mask`` is given.
        """
        references, reference_mask = gather_continuations(
            batch, anchors, anchor_mask, completions.shape[-1]
        )
        if completion_mask is None:
            completion_mask = torch.ones_like(completions, dtype=torch.bool)
        return cls(
            batch=batch,
            anchors=anchors,
            anchor_mask=anchor_mask,
            completions=completions,
            completion_mask=completion_mask,
            references=references,
            reference_mask=reference_mask,
            log_probs=torch.zeros(completions.shape, device=completions.device),
            distribution=distribution,
        )

    @property
    def sequences(self) -> BatchPosition:
        """Token ids (batch, position) of the underlying text."""
        return self.batch.sequences

    @property
    def sequence_mask(self) -> BatchPosition:
        """True (batch, position) at real tokens of the underlying text."""
        return self.batch.sequence_mask

    @property
    def documents(self) -> BatchPosition:
        """Document id (batch, position) of each token of the underlying text."""
        return self.batch.documents

    @property
    def samples(self) -> int:
        """Rollouts per anchor, N."""
        return int(self.completions.shape[2])

    @property
    def horizon(self) -> int:
        """Tokens of a rollout at most, G."""
        return int(self.completions.shape[3])

    def token_mask(self) -> BatchAnchorSampleToken:
        """True at generated tokens that count: before the end, at valid anchors."""
        return self.completion_mask & self.anchor_mask[:, :, None, None]

    def map(self, function: Callable[[Tensor], Tensor]) -> Rollouts:
        """Return a copy with ``function`` applied to every tensor, those of ``batch`` included."""
        return dataclasses.replace(super().map(function), batch=self.batch.map(function))

    def rows(self, start: int, stop: int) -> Rollouts:
        """Return the rollouts of the sequences ``start`` to ``stop`` (exclusive)."""
        return self.map(lambda tensor: tensor[start:stop])


@dataclass(frozen=True, eq=False)
class Scores(_Tensors):
    """Log-probabilities (batch, anchor, sample, token) in nats, without gradient, for energies.

    Attributes:
        policy: of each generated token under the policy, by the rollouts' own distribution.
        reference: the same under the frozen reference model, where the objective has one.
    """

    policy: BatchAnchorSampleToken
    reference: BatchAnchorSampleToken | None = None
