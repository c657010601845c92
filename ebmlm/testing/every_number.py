"""Exact expectations of whatever draws uniform numbers: every cell of a grid, once.

What a sampler does changes only where a uniform number passes some probability. In a world whose
probabilities are all multiples of 1/L, the L cells between these multiples are all that there is to
see, so a mean over the middles of all cells of all numbers is the exact expectation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from ebmlm.distribution import TokenDistribution
from ebmlm.errors import UserError
from ebmlm.language_model import Decoder
from ebmlm.rollouts import SequenceBatch
from ebmlm.samplers.randomness import given_uniforms
from ebmlm.testing.tabular import TabularLanguageModel
from ebmlm.typing import BatchAnchor, BatchAnchorSample

__all__ = ["WatchedTable", "every_number"]

T = TypeVar("T")

_MOST = 60_000
_EXPLORED = 64


class WatchedTable(TabularLanguageModel):
    """A table that remembers which uniform numbers it was given to draw tokens with."""

    def __init__(self, vocabulary: int, order: int, end_tokens: tuple[int, ...] = ()) -> None:
        super().__init__(vocabulary, order, end_tokens=end_tokens, layers=1, hidden=1)
        self.seen: list[Tensor] = []

    def start(
        self,
        batch: SequenceBatch,
        anchors: BatchAnchor,
        anchor_mask: BatchAnchor,
        samples: int,
        horizon: int,
    ) -> Decoder:
        """See :meth:`LanguageModel.start`."""
        return _Watched(super().start(batch, anchors, anchor_mask, samples, horizon), self.seen)


class _Watched(Decoder):
    def __init__(self, decoder: Decoder, seen: list[Tensor]) -> None:
        self._decoder, self._seen = decoder, seen

    def draw(
        self, distribution: TokenDistribution, uniforms: BatchAnchorSample
    ) -> tuple[BatchAnchorSample, BatchAnchorSample]:
        self._seen.append(uniforms.flatten())
        return self._decoder.draw(distribution, uniforms)

    def advance(self, tokens: BatchAnchorSample) -> None:
        self._decoder.advance(tokens)


@dataclass(frozen=True)
class _Asked:
    """What a run asks for: of each call, whether each number of a row draws a token."""

    calls: tuple[tuple[bool, ...], ...]

    def cells(self, tokens: int, others: int) -> list[Tensor]:
        return [torch.tensor([tokens if one else others for one in call]) for call in self.calls]


def every_number(
    run: Callable[[int], T], model: WatchedTable, token_cells: int, other_cells: int
) -> T:
    """Run with every combination of cells, one a row: ``run(rows)`` for as many rows as there are.

    Args:
        run: draws for that many sequences, whose ids are 0, 1, ... in every call of
            :func:`~ebmlm.samplers.randomness.sequence_uniforms`, by ``model``.
        model: tells which numbers draw tokens.
        token_cells: L of these.
        other_cells: L of all others.

    Returns:
        What the run returns; all its rows are equally probable.

    Raises:
        UserError: where there are more than 60,000 combinations, or no number is asked for.
    """
    asked = _explore(run, model)
    cells = asked.cells(token_cells, other_cells)
    sizes = [int(size) for call in cells for size in call]
    rows = math.prod(sizes)
    if not sizes or rows > _MOST:
        raise UserError(
            f"{len(sizes)} uniform numbers have {'no' if not sizes else f'over {_MOST}'}"
            " combinations of cells to be listed: use fewer candidates, a shorter horizon or fewer"
            " steps"
        )
    number = torch.arange(rows)
    middles, stride = [], 1
    for size in sizes:
        middles.append(((number // stride) % size + 0.5) / size)
        stride *= size
    served = torch.stack(middles, -1).double()
    offsets = [0]
    for call in cells:
        offsets.append(offsets[-1] + len(call))
    made = 0

    def source(ids: Tensor, shape: tuple[int, ...]) -> Tensor:
        nonlocal made
        if made >= len(cells) or torch.Size(shape).numel() != len(cells[made]):
            raise UserError("a run asks for numbers that none of the runs before asked for")
        values = served[ids, offsets[made] : offsets[made + 1]]
        made += 1
        return values.view(-1, *shape)

    with given_uniforms(source):
        return run(rows)


def _explore(run: Callable[[int], T], model: WatchedTable) -> _Asked:
    """Random runs, to find out what is asked for and which of it the model draws with."""
    generator = torch.Generator().manual_seed(0)
    calls: list[Tensor] = []

    def source(ids: Tensor, shape: tuple[int, ...]) -> Tensor:
        values = torch.rand(len(ids), *shape, generator=generator, dtype=torch.float64)
        calls.append(values.flatten(1))
        return values

    model.seen.clear()
    with given_uniforms(source):
        run(_EXPLORED)
    tokens = torch.cat([*model.seen, torch.empty(0, dtype=torch.float64)])
    model.seen.clear()
    return _Asked(tuple(tuple(torch.isin(call, tokens).any(0).tolist()) for call in calls))
