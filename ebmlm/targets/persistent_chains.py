"""Chains that go on where they were: persistent contrastive divergence (Tieleman 2008)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ebmlm.errors import UserError
from ebmlm.rollouts import Rollouts
from ebmlm.samplers.base import Sampler
from ebmlm.state import Gather, Stateful
from ebmlm.targets.negatives import Chains
from ebmlm.targets.samplers.proposals import Proposal

__all__ = ["PersistentChains"]

_NAMES = ("ids", "places", "completions", "lengths", "log_probs")


@dataclass(frozen=True, eq=False)
class _Chain:
    """Where the chains of one anchor are: completions, lengths in tokens, log-probabilities."""

    completions: Tensor
    lengths: Tensor
    log_probs: Tensor


class PersistentChains(Chains, Stateful):
    """Chains of an anchor go on, when its sequence comes again, from where they were left.

    They start at the real continuation. Where they are moves with the optimiser's steps and not
    within one, and is kept in checkpoints. A sequence's id stands for its text: the same id must
    not come with another text. Kept for every anchor seen: 16 bytes a token of its chains. The
    arguments are those of :class:`~ebmlm.targets.negatives.Chains`.
    """

    def __init__(
        self,
        sampler: Sampler,
        end_tokens: Sequence[int] = (),
        proposal: Proposal | None = None,
        steps: int = 1,
    ) -> None:
        super().__init__(sampler, end_tokens, proposal, steps)
        self._left: dict[tuple[int, int], _Chain] = {}
        self._now: dict[tuple[int, int], _Chain] = {}

    def left(self, rollouts: Rollouts) -> None:
        """See :meth:`Chains.left`: remembered until the step ends, then what is gone on from."""
        for key, row, anchor in _keys(rollouts):
            self._now[key] = _Chain(
                rollouts.completions[row, anchor].cpu().clone(),
                rollouts.completion_mask[row, anchor].sum(-1).cpu(),
                rollouts.log_probs[row, anchor].cpu().clone(),
            )

    def end_step(self, gather: Gather) -> None:
        """See :meth:`Stateful.end_step`."""
        packed = self._packed(self._now)
        self._now = {}
        parts = [gather(packed[name]) for name in _NAMES]
        for values in zip(*parts, strict=True):
            self._left.update(_unpacked(dict(zip(_NAMES, values, strict=True))))

    def state(self) -> dict[str, Tensor]:
        """See :meth:`Stateful.state`."""
        return self._packed(self._left)

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """See :meth:`Stateful.restore`."""
        expected = (self.sampler.samples, self.sampler.horizon)
        found = tuple(state["completions"].shape[1:])
        if found != expected:
            raise UserError(
                f"the checkpoint has chains of {found[0]} samples and {found[1]} tokens, and this"
                f" objective of {expected[0]} and {expected[1]}: resume with the configuration"
                " that the run was started with"
            )
        self._now = {}
        self._left = _unpacked(state)

    def started(self, real: Rollouts) -> Rollouts:
        """See :meth:`Chains.started`: where they were left, at anchors that have been seen."""
        completions = real.completions.clone()
        mask = real.completion_mask.clone()
        log_probs = real.log_probs.clone()
        token = torch.arange(real.horizon)
        for key, row, anchor in _keys(real):
            if (chain := self._left.get(key)) is not None:
                alive = token < chain.lengths.unsqueeze(-1)
                completions[row, anchor] = chain.completions.to(completions)
                mask[row, anchor] = alive.to(mask.device)
                log_probs[row, anchor] = chain.log_probs.to(log_probs)
        return dataclasses.replace(
            real, completions=completions, completion_mask=mask, log_probs=log_probs
        )

    def _packed(self, chains: Mapping[tuple[int, int], _Chain]) -> dict[str, Tensor]:
        samples, horizon = self.sampler.samples, self.sampler.horizon
        keys = torch.tensor(sorted(chains), dtype=torch.long).view(-1, 2)
        rows = [chains[key] for key in sorted(chains)]
        if not rows:
            nothing = torch.zeros(0, samples, horizon)
            return {
                "ids": keys[:, 0],
                "places": keys[:, 1],
                "completions": nothing.long(),
                "lengths": nothing[..., 0].long(),
                "log_probs": nothing,
            }
        return {
            "ids": keys[:, 0],
            "places": keys[:, 1],
            **{name: torch.stack([getattr(row, name) for row in rows]) for name in _NAMES[2:]},
        }


def _keys(rollouts: Rollouts) -> list[tuple[tuple[int, int], int, int]]:
    """Of each valid anchor: its sequence's id and its place after padding; row and anchor."""
    first = rollouts.sequence_mask.long().argmax(1)
    places = (rollouts.anchors - first.unsqueeze(1)).tolist()
    ids = rollouts.batch.ids.tolist()
    valid = rollouts.anchor_mask.nonzero().tolist()
    return [((ids[row], places[row][anchor]), row, anchor) for row, anchor in valid]


def _unpacked(packed: Mapping[str, Tensor]) -> dict[tuple[int, int], _Chain]:
    keys = zip(packed["ids"].tolist(), packed["places"].tolist(), strict=True)
    rows = zip(*(packed[name] for name in _NAMES[2:]), strict=True)
    return {key: _Chain(*row) for key, row in zip(keys, rows, strict=True)}
