"""Proposals of Metropolis-Hastings chains that are not balanced, or not what they record."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import Rollouts
from ebmlm.samplers.resumption import resume
from ebmlm.targets.samplers.proposals import (
    IndependentProposal,
    InfillProposal,
    Proposal,
    Proposed,
    chosen,
)
from ebmlm.testing.bugs.bug import Bug
from ebmlm.testing.laws.proposal import proposals_are_balanced, proposals_are_whole_and_scored
from ebmlm.typing import BatchAnchorSample

__all__ = [
    "PROPOSAL_BUGS",
    "ChoosesByState",
    "ForgetsKeptEnd",
    "KeepsOldScores",
    "PlacedByLength",
]


class _OneToken(InfillProposal):
    def __init__(self) -> None:
        super().__init__(1)

    def propose(
        self,
        model: LanguageModel,
        rollouts: Rollouts,
        uniforms: Tensor,
        moving: BatchAnchorSample | None = None,
    ) -> Proposed:
        """See :meth:`Proposal.propose`."""
        return self.told(super().propose(model, rollouts, uniforms, moving), rollouts)

    def told(self, found: Proposed, before: Rollouts) -> Proposed:
        """Return what is proposed in place of this."""
        return found


class ForgetsKeptEnd(_OneToken):
    """Fills a span in as if the end that is kept were as likely after any other span."""

    def told(self, found: Proposed, before: Rollouts) -> Proposed:
        """See :meth:`_OneToken.told`."""
        refused = found.log_ratio == -torch.inf
        return Proposed(found.rollouts, torch.where(refused, found.log_ratio, 0))


class KeepsOldScores(_OneToken):
    """Fills a span in, and leaves the end the log-probabilities that it had after the old span."""

    def told(self, found: Proposed, before: Rollouts) -> Proposed:
        """See :meth:`_OneToken.told`."""
        same = found.rollouts.completions == before.completions
        kept = torch.where(same, before.log_probs, found.rollouts.log_probs)
        return Proposed(dataclasses.replace(found.rollouts, log_probs=kept), found.log_ratio)


class PlacedByLength(Proposal):
    """Draws a new end from a place within the old completion, whose length the new one has not."""

    def propose(
        self,
        model: LanguageModel,
        rollouts: Rollouts,
        uniforms: Tensor,
        moving: BatchAnchorSample | None = None,
    ) -> Proposed:
        """See :meth:`Proposal.propose`."""
        length = rollouts.token_mask().sum(-1)
        kept = (uniforms[..., 0] * length).long()
        if moving is not None:
            kept = torch.where(moving, kept, rollouts.horizon)
        new = resume(model, rollouts, kept, uniforms[..., 1:])
        return Proposed(new, torch.zeros_like(uniforms[..., 0]))


class ChoosesByState(Proposal):
    """Chooses how to move by what stands there, so that the way back is chosen otherwise."""

    def propose(
        self,
        model: LanguageModel,
        rollouts: Rollouts,
        uniforms: Tensor,
        moving: BatchAnchorSample | None = None,
    ) -> Proposed:
        """See :meth:`Proposal.propose`."""
        fill = InfillProposal(1).propose(model, rollouts, uniforms, moving)
        fresh = IndependentProposal().propose(model, rollouts, uniforms, moving)
        which = rollouts.completions[..., 0] == 1
        return Proposed(
            chosen(which, fill.rollouts, fresh.rollouts),
            torch.where(which, fill.log_ratio, fresh.log_ratio),
        )


PROPOSAL_BUGS = (
    Bug("kept end left out of the ratio", ForgetsKeptEnd, proposals_are_balanced),
    Bug("kept end scored as before", KeepsOldScores, proposals_are_whole_and_scored),
    Bug("place drawn by the old length", PlacedByLength, proposals_are_balanced),
    Bug("chosen by what stands there", ChoosesByState, proposals_are_balanced),
)
"""Every wrong proposal."""
