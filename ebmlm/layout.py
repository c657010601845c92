"""The prefix tree: a sequence (the trunk) with rollouts branching off at its anchors.

Scoring and feature extraction lay a batch of rollouts out once per sequence, as
``[trunk T | branches K*N*G]``, and run one forward pass over it. Everything that depends on where
a token stands (its position, what it may attend to, which logits predict it) is answered here and
nowhere else. See docs/concepts.md, "The prefix tree".
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from einops import rearrange, repeat

from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.typing import (
    BatchAnchor,
    BatchAnchorPosition,
    BatchAnchorSampleToken,
    BatchNode,
    BatchPosition,
)

__all__ = ["PrefixTree", "Prefixes", "Survivors", "Trunk", "cut_to_prefixes"]


@dataclass(frozen=True, eq=False)
class Trunk:
    """What the trunk's own tokens look like to a model.

    Attributes:
        tokens: (batch, position) token ids, 0 at padding.
        positions: (batch, position) position within the document.
        is_causal: whether plain causal attention is exact for every real token: one document a
            sequence, and no padding before it.
        batch: the sequences it was made of.
    """

    tokens: BatchPosition
    positions: BatchPosition
    is_causal: bool
    batch: SequenceBatch

    @classmethod
    def of(cls, batch: SequenceBatch) -> Trunk:
        """Lay out the trunk of each sequence of ``batch``."""
        starts = batch.document_starts()
        # Padding after the text attends to it, harmlessly: nobody attends to the padding.
        causal = bool((torch.where(batch.sequence_mask, starts, 0) == 0).all())
        tokens = torch.where(batch.sequence_mask, batch.sequences, 0)
        return cls(tokens, batch.positions(), causal, batch)

    def attention_mask(self) -> torch.Tensor:
        """True (batch, position, position) where a query (second axis) sees a key (third axis).

        A real token sees itself and the tokens before it in its own document; a padding token
        sees only itself, so that no row is empty.
        """
        real, starts = self.batch.sequence_mask, self.batch.document_starts()
        length = self.tokens.shape[1]
        index = torch.arange(length, device=self.tokens.device)
        causal = index.unsqueeze(0) <= index.unsqueeze(1)
        same = starts.unsqueeze(2) == starts.unsqueeze(1)
        both = real.unsqueeze(2) & real.unsqueeze(1)
        return (causal & same & both) | torch.eye(length, dtype=torch.bool, device=index.device)


@dataclass(frozen=True, eq=False)
class Prefixes:
    """The part of the trunk that the branches at each anchor see.

    Attributes:
        starts: (batch, anchor) index of the first visible token: the document's first.
        anchors: (batch, anchor) index after the last visible token. Both are 0 where the anchor is
            invalid, so that its branches see no trunk at all.
    """

    starts: BatchAnchor
    anchors: BatchAnchor

    @classmethod
    def of(cls, batch: SequenceBatch, anchors: BatchAnchor, anchor_mask: BatchAnchor) -> Prefixes:
        """Find the visible prefix of each anchor.

        Raises:
            ValueError: if a valid anchor has no real token before it, or lies past the end.
        """
        length = batch.sequences.shape[1]
        previous = anchors.clamp(1, length) - 1
        real = batch.sequence_mask.gather(1, previous)
        wrong = anchor_mask & ((anchors < 1) | (anchors > length) | ~real)
        if wrong.any():
            row, place = (int(index) for index in wrong.nonzero()[0])
            raise ValueError(
                f"anchor {int(anchors[row, place])} of sequence {row} has no real token before it:"
                f" a valid anchor is in 1..{length} and follows a real token; mask it or move it"
            )
        starts = batch.document_starts().gather(1, previous)
        return cls(torch.where(anchor_mask, starts, 0), torch.where(anchor_mask, anchors, 0))

    def trunk_mask(self, length: int) -> BatchAnchorPosition:
        """True (batch, anchor, position) at the first ``length`` trunk tokens that are visible."""
        index = torch.arange(length, device=self.anchors.device)
        return (index >= self.starts.unsqueeze(-1)) & (index < self.anchors.unsqueeze(-1))

    def parents(self) -> BatchAnchor:
        """Trunk index (batch, anchor) of the token whose logits predict a branch's first token."""
        return (self.anchors - 1).clamp(min=0)

    def positions(self) -> BatchAnchor:
        """Position (batch, anchor) of a branch's first token within its document."""
        return self.anchors - self.starts


def cut_to_prefixes(
    batch: SequenceBatch, anchors: BatchAnchor, anchor_mask: BatchAnchor
) -> tuple[SequenceBatch, BatchAnchor]:
    """Return the columns of ``batch`` that some anchor's branches see, and the anchors in them.

    A document that begins before the cut is none that an anchor sees, so every prefix is whole.

    Raises:
        ValueError: if a valid anchor has no real token before it.
    """
    prefixes = Prefixes.of(batch, anchors, anchor_mask)
    length = batch.sequences.shape[1]
    stop = max(int(prefixes.anchors.max()), 1)
    start = min(int(torch.where(anchor_mask, prefixes.starts, length).min()), stop - 1)
    columns = slice(start, stop)
    cut = dataclasses.replace(
        batch,
        sequences=batch.sequences[:, columns],
        sequence_mask=batch.sequence_mask[:, columns],
        documents=batch.documents[:, columns],
        anchors=None,
        anchor_mask=None,
        targets=None,
    )
    return cut, anchors - start


@dataclass(frozen=True, eq=False)
class Survivors:
    """Some of a batch's branches, pushed together: as many in each row, rows without any left out.

    Attributes:
        rows: (row,) numbers of the rows that are kept.
        branches: (row, branch) numbers of the branches that are kept in each. Rows with fewer
            survivors than others keep some more, for the shape.
    """

    rows: torch.Tensor
    branches: torch.Tensor

    @classmethod
    def of(cls, alive: torch.Tensor) -> Survivors:
        """Keep the branches that are ``alive`` (batch, branch), of which there is at least one."""
        counts = alive.sum(1)
        rows = counts.nonzero().flatten()
        order = alive[rows].long().argsort(dim=1, descending=True, stable=True)
        return cls(rows, order[:, : int(counts.max())])

    def rows_of(self, values: torch.Tensor) -> torch.Tensor:
        """The kept rows of values (batch, ...)."""
        return values if len(self.rows) == len(values) else values[self.rows]

    def take(self, values: torch.Tensor) -> torch.Tensor:
        """The kept values (row, branch, ...) of values (batch, branch, ...)."""
        return values[self.rows.unsqueeze(1), self.branches]

    def put(self, values: torch.Tensor, every: torch.Tensor) -> torch.Tensor:
        """A copy of ``every`` (batch, branch) with ``values`` (row, branch) in their old places."""
        return every.index_put((self.rows.unsqueeze(1), self.branches), values)

    def within(self, others: Survivors) -> Survivors:
        """The same branches by the numbers that they had before ``others`` were kept."""
        return Survivors(others.rows[self.rows], self.take(others.branches))


@dataclass(frozen=True, eq=False)
class PrefixTree:
    """A batch of rollouts laid out for one forward pass.

    Attributes:
        tokens: (batch, node) token ids: the trunk's T, then the branches' K*N*G in the order
            (anchor sample token).
        positions: (batch, node) position of each within its document.
        parents: (batch, anchor, sample, token) node whose logits predict each generated token:
            the token before the anchor for the first, the branch's previous token for the others.
        trunk: the trunk alone.
        prefixes: what of the trunk each anchor's branches see.
        shape: (K, N, G) of the branches.
    """

    tokens: BatchNode
    positions: BatchNode
    parents: BatchAnchorSampleToken
    trunk: Trunk
    prefixes: Prefixes
    shape: tuple[int, int, int]

    @classmethod
    def of(cls, rollouts: Rollouts) -> PrefixTree:
        """Lay out ``rollouts``.

        Raises:
            ValueError: if a valid anchor has no real token before it.
        """
        batch = rollouts.batch
        trunk = Trunk.of(batch)
        prefixes = Prefixes.of(batch, rollouts.anchors, rollouts.anchor_mask)
        _, anchor, sample, token = rollouts.completions.shape
        length = batch.sequences.shape[1]
        device = batch.sequences.device

        branches = torch.where(rollouts.token_mask(), rollouts.completions, 0)
        step = torch.arange(token, device=device)
        positions = repeat(
            prefixes.positions().unsqueeze(-1) + step,
            "batch anchor token -> batch (anchor sample token)",
            sample=sample,
        )
        nodes = rearrange(
            length + torch.arange(anchor * sample * token, device=device),
            "(anchor sample token) -> anchor sample token",
            anchor=anchor,
            sample=sample,
        )
        first = repeat(prefixes.parents(), "batch anchor -> batch anchor sample 1", sample=sample)
        later = nodes[:, :, :-1].expand(len(batch), -1, -1, -1)
        flat = rearrange(branches, "batch anchor sample token -> batch (anchor sample token)")
        return cls(
            tokens=torch.cat([trunk.tokens, flat], dim=1),
            positions=torch.cat([trunk.positions, positions], dim=1),
            parents=torch.cat([first, later], dim=-1),
            trunk=trunk,
            prefixes=prefixes,
            shape=(anchor, sample, token),
        )

    def visible_trunk(self) -> tuple[BatchNode, BatchNode]:
        """The part of the trunk that each node sees: its first token, and the one after its last.

        Of a trunk's node that is its document up to itself; at padding itself alone.
        """
        length, (_, sample, token) = self.trunk_length, self.shape
        batch = self.trunk.batch
        node = torch.arange(length, device=self.tokens.device)
        starts = torch.where(batch.sequence_mask, batch.document_starts(), node)
        ends = (node + 1).expand_as(starts)
        spread = "batch anchor -> batch (anchor sample token)"
        low, high = (
            repeat(edge, spread, sample=sample, token=token)
            for edge in (self.prefixes.starts, self.prefixes.anchors)
        )
        return torch.cat([starts, low], dim=1), torch.cat([ends, high], dim=1)

    def branch_numbers(self) -> torch.Tensor:
        """Number (node,) of the branch that each node belongs to; negative in the trunk."""
        node = torch.arange(self.tokens.shape[1], device=self.tokens.device)
        return (node - self.trunk_length).div(self.shape[2], rounding_mode="floor")

    @property
    def trunk_length(self) -> int:
        """Tokens of the trunk, T; node ``T`` is the first branch token."""
        return int(self.trunk.tokens.shape[1])
