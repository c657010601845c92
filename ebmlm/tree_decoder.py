"""Growing the branches of a batch with a transformers model, those that are over left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from einops import rearrange, repeat
from torch import Tensor

from ebmlm.branch_steps import BranchSteps
from ebmlm.distribution import TokenDistribution
from ebmlm.heads import draw_rows
from ebmlm.language_model import Decoder
from ebmlm.layout import Survivors
from ebmlm.typing import BatchAnchor, BatchAnchorSample

__all__ = ["TreeDecoder"]


class TreeDecoder(Decoder):
    """Grows branches over the kept keys of their trunk.

    Args:
        body: from tokens and positions (row, branch) to the states (row, branch, feature) that the
            head reads, by the attention of ``steps``.
        head: from states (row, feature) to logits.
        steps: the attention, which holds the trunk's keys.
        parents: (batch, anchor, feature) states that predict the first token at each anchor.
        positions: (batch, anchor) position of that token.
        samples: branches per anchor, N.
    """

    def __init__(
        self,
        body: Callable[[Tensor, Tensor], Tensor],
        head: Callable[[Tensor], Any],
        steps: BranchSteps,
        parents: Tensor,
        positions: BatchAnchor,
        samples: int,
    ) -> None:
        self._body, self._head, self._steps = body, head, steps
        self._shape = (*positions.shape, samples)
        spread = "batch anchor ... -> batch (anchor sample) ..."
        self._states = repeat(parents, spread, sample=samples)
        self._positions = repeat(positions, spread, sample=samples)
        self._held: Survivors | None = None

    def __exit__(self, *exception: object) -> None:
        torch.clear_autocast_cache()

    @torch.no_grad()
    def draw(
        self, distribution: TokenDistribution, uniforms: BatchAnchorSample
    ) -> tuple[BatchAnchorSample, BatchAnchorSample]:
        """See :meth:`Decoder.draw`."""
        drawn = draw_rows(
            self._head, self._states.flatten(0, 1), distribution, self._among(uniforms).flatten()
        )
        tokens, log_probs = (self._spread(values) for values in drawn)
        return tokens, log_probs

    @torch.no_grad()
    def advance(self, tokens: BatchAnchorSample) -> None:
        """See :meth:`Decoder.advance`."""
        self._states = self._body(self._among(tokens), self._positions)
        self._positions = self._positions + 1

    @torch.no_grad()
    def keep(self, alive: BatchAnchorSample) -> None:
        """See :meth:`Decoder.keep`; done where it halves the branches that are held at least."""
        found = Survivors.of(self._among(alive))
        if 2 * found.branches.numel() > self._positions.numel():
            return
        self._states, self._positions = found.take(self._states), found.take(self._positions)
        self._steps.keep(found)
        self._held = found if self._held is None else found.within(self._held)

    def _among(self, values: BatchAnchorSample) -> Tensor:
        """Values (row, branch) of the branches that are held."""
        flat = rearrange(values, "batch anchor sample -> batch (anchor sample)")
        return flat if self._held is None else self._held.take(flat)

    def _spread(self, values: Tensor) -> BatchAnchorSample:
        """Values (batch, anchor, sample) of branches that are held, zero of the others."""
        if self._held is None:
            return values.view(self._shape)
        every = values.new_zeros(self._shape[0], self._shape[1] * self._shape[2])
        return self._held.put(values.view_as(self._held.branches), every).view(self._shape)
