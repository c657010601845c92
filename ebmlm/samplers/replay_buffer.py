"""Completions that were drawn before, kept for each anchor of each sequence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ebmlm.errors import UserError
from ebmlm.rollouts import Rollouts
from ebmlm.state import Gather, Stateful
from ebmlm.typing import BatchAnchorSample

__all__ = ["ReplayBuffer", "Stored"]

# Calls without an end_step between them after which somebody has forgotten it.
_MOST_CALLS = 4096


@dataclass(frozen=True, eq=False)
class Stored:
    """Completions in the order in which they are forgotten.

    Attributes:
        places: (completion, 2) the sequence's id and the number of the anchor in it.
        tokens: (completion, token) token ids.
        mask: (completion, token) which of them count.
        log_probs: (completion, token) in nats, when they were drawn.
        priorities: (completion,) logs of weights.
    """

    places: Tensor
    tokens: Tensor
    mask: Tensor
    log_probs: Tensor
    priorities: Tensor

    def __len__(self) -> int:
        return len(self.places)

    def columns(self) -> dict[str, Tensor]:
        """Every column by its name."""
        return {column.name: getattr(self, column.name) for column in fields(self)}

    def rows(self, index: Tensor) -> Stored:
        """Those with these numbers."""
        return Stored(**{name: column[index] for name, column in self.columns().items()})


class ReplayBuffer(Stateful):
    """Completions of earlier optimiser steps, in bounded number.

    What was seen in a step is taken in at its end, from all processes, in an order that does not
    depend on how the step was cut; within a step the buffer does not change. Where there are too
    many, the oldest are forgotten.

    :class:`~ebmlm.training.trainer.EBMTrainer` ends the steps and keeps the buffer in its
    checkpoints; a loop of your own calls ``objective.end_step()`` after ``optimiser.step()``.

    Args:
        capacity: completions at most.
        per_anchor: completions of one anchor at most.

    Raises:
        UserError: for a number under 1; when told of some thousand batches without an end of a
            step.
    """

    def __init__(self, capacity: int = 16384, per_anchor: int = 16) -> None:
        for name, value in (("capacity", capacity), ("per_anchor", per_anchor)):
            if value < 1:
                raise UserError(f"{name} is {value}: keep at least 1 completion")
        self.capacity = capacity
        self.per_anchor = per_anchor
        self.stored: Stored | None = None
        self._places: dict[tuple[int, int], list[int]] = {}
        self._seen: list[Stored] = []

    def __len__(self) -> int:
        return 0 if self.stored is None else len(self.stored)

    def at(self, identity: int, anchor: int) -> list[int]:
        """Numbers of the stored completions of an anchor, oldest first."""
        return self._places.get((identity, anchor), [])

    def see(self, rollouts: Rollouts, priorities: BatchAnchorSample) -> None:
        """Remember rollouts at valid anchors, to be taken in when the step ends.

        Args:
            rollouts: what was drawn.
            priorities: (batch, anchor, sample) logs of weights; those of minus infinity are not
                kept.
        """
        if len(self._seen) >= _MOST_CALLS:
            raise UserError(
                f"ReplayBuffer was told of {_MOST_CALLS} batches and no step has ended: call"
                " objective.end_step() after each optimiser.step()"
            )
        kept = (priorities > -torch.inf) & rollouts.anchor_mask.unsqueeze(-1)
        batch, anchor, _ = kept.nonzero().unbind(-1)
        mask = rollouts.completion_mask[kept]
        places = torch.stack([rollouts.batch.ids.to(batch)[batch], anchor], -1)
        tokens = torch.where(mask, rollouts.completions[kept], 0)
        log_probs = torch.where(mask, rollouts.log_probs[kept], 0)
        columns = (places, tokens, mask, log_probs, priorities[kept].double())
        self._seen.append(Stored(*(column.detach().cpu() for column in columns)))

    def end_step(self, gather: Gather) -> None:
        """See :meth:`Stateful.end_step`; what all processes have seen is gathered."""
        seen, self._seen = self._seen, []
        before = [] if self.stored is None else [self.stored]
        own = [part.columns() for part in seen]
        gathered = {}
        for column in fields(Stored):
            name = column.name
            mine = torch.cat([part[name] for part in own]) if own else torch.zeros(0)
            parts = [part.cpu() for part in gather(mine)]
            # A process that has seen nothing knows no width.
            gathered[name] = torch.cat([part for part in parts if part.numel()] or parts[:1])
        if not gathered["places"].numel():
            return
        new = Stored(**gathered)
        # Stable: the samples of an anchor are always in one piece.
        anchors = new.places[:, 1].argsort(stable=True)
        order = anchors[new.places[anchors, 0].argsort(stable=True)]
        both = [part.columns() for part in (*before, new.rows(order))]
        self._keep(Stored(**{name: torch.cat([part[name] for part in both]) for name in gathered}))

    def state(self) -> dict[str, Tensor]:
        """See :meth:`Stateful.state`."""
        return {} if self.stored is None else self.stored.columns()

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """See :meth:`Stateful.restore`."""
        self.stored, self._places, self._seen = None, {}, []
        if state:
            self._keep(Stored(**state))

    def _keep(self, every: Stored) -> None:
        """The newest of all, as many as there is room for."""
        counts: dict[tuple[int, int], int] = {}
        newest: list[int] = []
        for number in range(len(every) - 1, -1, -1):
            identity, anchor = every.places[number].tolist()
            count = counts.get((identity, anchor), 0)
            if count < self.per_anchor and len(newest) < self.capacity:
                counts[identity, anchor] = count + 1
                newest.append(number)
        self.stored = every.rows(torch.tensor(newest[::-1], dtype=torch.long))
        self._places = {}
        for number, (identity, anchor) in enumerate(self.stored.places.tolist()):
            self._places.setdefault((identity, anchor), []).append(number)
