"""Where a chain may go next: proposals drawn from a language model, and how far from balance."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ebmlm.errors import UserError
from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import Rollouts
from ebmlm.samplers.resumption import draw_after, resume
from ebmlm.typing import BatchAnchorSample

__all__ = [
    "IndependentProposal",
    "InfillProposal",
    "MixedProposal",
    "PrefixProposal",
    "Proposal",
    "Proposed",
    "SuffixProposal",
    "chosen",
]


@dataclass(frozen=True, eq=False)
class Proposed:
    """Where chains are proposed to go.

    Attributes:
        rollouts: one for each chain; their ``log_probs`` are the language model's.
        log_ratio: (batch, anchor, sample) ``log p(y') q(y' -> y) - log p(y) q(y -> y')`` in nats,
            with p the distribution that the rollouts record: zero for a proposal that leaves the
            language model itself balanced, minus infinity where the proposal is refused.
    """

    rollouts: Rollouts
    log_ratio: BatchAnchorSample


class Proposal(ABC):
    """Answers one question: where may a chain go next?

    A proposal y' for y is accepted with probability ``min(1, w(y') / w(y) exp(log_ratio))``, where
    w are importance weights of target and language model. So a proposal says only how far it is
    from balance under the language model, and knows no target.
    """

    @abstractmethod
    def propose(
        self,
        model: LanguageModel,
        rollouts: Rollouts,
        uniforms: Tensor,
        moving: BatchAnchorSample | None = None,
    ) -> Proposed:
        """Propose a completion for each chain, without gradient.

        Args:
            model: what is drawn from, by the rollouts' own distribution.
            rollouts: where the chains are.
            uniforms: (batch, anchor, sample, 1 + token) in [0, 1): one that says where a chain is
                changed, and one for each place of a completion.
            moving: (batch, anchor, sample) chains that are asked about, all unless given; the
                others are returned as they are.

        Raises:
            UserError: for a distribution that the proposal cannot be balanced under.
        """


class PrefixProposal(Proposal):
    """Keeps a number of first tokens that does not depend on the tokens, and draws the rest.

    What is kept has the same probability before and after, so that the language model is balanced.
    """

    @abstractmethod
    def kept(self, uniforms: BatchAnchorSample, horizon: int) -> BatchAnchorSample:
        """Return how many first tokens (batch, anchor, sample) are kept.

        Args:
            uniforms: in [0, 1), one for each chain.
            horizon: tokens of a completion at most.
        """

    def propose(
        self,
        model: LanguageModel,
        rollouts: Rollouts,
        uniforms: Tensor,
        moving: BatchAnchorSample | None = None,
    ) -> Proposed:
        """See :meth:`Proposal.propose`."""
        kept = self.kept(uniforms[..., 0], rollouts.horizon)
        if moving is not None:
            kept = torch.where(moving, kept, rollouts.horizon)
        new = resume(model, rollouts, kept, uniforms[..., 1:])
        return Proposed(new, torch.zeros_like(uniforms[..., 0]))


class IndependentProposal(PrefixProposal):
    """A new completion, whatever the old one."""

    def kept(self, uniforms: BatchAnchorSample, horizon: int) -> BatchAnchorSample:
        """See :meth:`PrefixProposal.kept`: none."""
        return torch.zeros_like(uniforms, dtype=torch.long)


class SuffixProposal(PrefixProposal):
    """The same beginning and a new end, from a place drawn uniformly from all of the horizon."""

    def kept(self, uniforms: BatchAnchorSample, horizon: int) -> BatchAnchorSample:
        """See :meth:`PrefixProposal.kept`."""
        return (uniforms * horizon).long().clamp(max=horizon - 1)


class InfillProposal(Proposal):
    """A new span in the middle: the same beginning, the same end, and the same length.

    The span's tokens are drawn from the language model after the beginning, which does not know the
    end; so ``log_ratio`` is by how much the kept end has become more probable. The span starts at
    a place drawn uniformly from those where it fits before the end token, or takes all that stands
    there if that is shorter. A proposal in which the span itself ends is refused: lengths then
    never change, and the way back is drawn as the way there is (docs/mathematics.md, "Towards a
    target"). Alone it does not reach completions of other lengths: mix it with another
    (:class:`MixedProposal`).

    Args:
        width: tokens of the span at most. On a real model few spans of more than two or three fit
            the end that is kept (docs/sampling.md, "Which sampler").

    Raises:
        UserError: for fewer than one token; when called, for a truncated distribution, under which
            the kept end may be impossible.
    """

    def __init__(self, width: int = 8) -> None:
        if width < 1:
            raise UserError(f"width is {width}: a span has at least 1 token")
        self.width = width

    @torch.no_grad()
    def propose(
        self,
        model: LanguageModel,
        rollouts: Rollouts,
        uniforms: Tensor,
        moving: BatchAnchorSample | None = None,
    ) -> Proposed:
        """See :meth:`Proposal.propose`."""
        if rollouts.distribution.truncates:
            raise UserError(
                f"{rollouts.distribution} rules tokens out, and a kept end may be ruled out after a"
                " new span: draw without top_k and top_p, or keep beginnings only (SuffixProposal)"
            )
        ends = torch.tensor(model.end_tokens, dtype=torch.long, device=rollouts.completions.device)
        is_end = torch.isin(rollouts.completions, ends)
        before_end = (rollouts.token_mask() & ~is_end).sum(-1)
        places = (before_end - self.width).clamp(min=0) + 1
        start = torch.minimum((uniforms[..., 0] * places).long(), places - 1)
        stop = torch.minimum(start + self.width, before_end)
        moves = stop > start
        if moving is not None:
            moves = moves & moving
        refused = torch.full_like(uniforms[..., 0], -torch.inf)
        if not moves.any():
            return Proposed(rollouts, refused)
        steps = int((stop - start)[moves].max())
        place = torch.arange(rollouts.horizon, device=start.device)
        offset = torch.arange(steps, device=start.device)
        index = (start[moves].unsqueeze(-1) + offset).clamp(max=rollouts.horizon - 1)
        numbers = uniforms[..., 1:][moves].gather(-1, index)
        drawn = draw_after(model, rollouts, moves, start, numbers)
        inside = offset < (stop - start)[moves].unsqueeze(-1)
        tokens, alive = drawn.completions[:, 0, 0], drawn.mask[:, 0, 0]
        whole = ~(inside & (torch.isin(tokens, ends) | ~alive)).any(-1)
        span = (place >= start.unsqueeze(-1)) & (place < stop.unsqueeze(-1)) & moves.unsqueeze(-1)
        new = torch.where(inside & whole.unsqueeze(-1), tokens, 0)
        completions = rollouts.completions.masked_scatter(span, new[inside])
        fits = torch.zeros_like(moves).masked_scatter(moves, whole)
        completions = torch.where(fits.unsqueeze(-1), completions, rollouts.completions)
        proposed = dataclasses.replace(rollouts, completions=completions)
        scored = model.score(proposed).completions.to(rollouts.log_probs.dtype)
        log_probs = torch.where(fits.unsqueeze(-1), scored, rollouts.log_probs)
        after = rollouts.token_mask() & (place >= stop.unsqueeze(-1))
        change = torch.where(after, log_probs.double() - rollouts.log_probs.double(), 0).sum(-1)
        return Proposed(
            dataclasses.replace(proposed, log_probs=log_probs), torch.where(fits, change, refused)
        )


class MixedProposal(Proposal):
    """One of several proposals for each chain, drawn anew at every step.

    A choice that does not look at where the chain is keeps the balance of each.

    Args:
        proposals: to choose from.
        weights: how often each is chosen, up to a factor; equally often unless given.

    Raises:
        UserError: for no proposal, or weights that are not positive or not as many.
    """

    def __init__(
        self, proposals: Sequence[Proposal], weights: Sequence[float] | None = None
    ) -> None:
        weights = [1.0] * len(proposals) if weights is None else list(weights)
        if not proposals:
            raise UserError("no proposal to choose from: give at least one")
        if len(weights) != len(proposals):
            raise UserError(f"{len(weights)} weights for {len(proposals)} proposals: give as many")
        if not all(0 < weight < math.inf for weight in weights):
            raise UserError(f"weights are {weights}: each must be above 0 and finite")
        self.proposals = tuple(proposals)
        self.weights = tuple(weights)

    def propose(
        self,
        model: LanguageModel,
        rollouts: Rollouts,
        uniforms: Tensor,
        moving: BatchAnchorSample | None = None,
    ) -> Proposed:
        """See :meth:`Proposal.propose`."""
        total, below = sum(self.weights), 0.0
        first = uniforms[..., 0]
        result = Proposed(rollouts, torch.full_like(first, -torch.inf))
        for number, (proposal, weight) in enumerate(
            zip(self.proposals, self.weights, strict=True), start=1
        ):
            share, above = weight / total, below + weight / total
            last = number == len(self.proposals)
            mine = (first >= below) & ((first < above) | last)
            if moving is not None:
                mine = mine & moving
            if mine.any():
                # Within its share the number that chose is uniform again.
                within = ((first - below) / share).clamp(0, 1 - 2**-53)
                numbers = torch.cat([within.unsqueeze(-1), uniforms[..., 1:]], -1)
                found = proposal.propose(model, rollouts, numbers, mine)
                result = Proposed(
                    chosen(mine, found.rollouts, result.rollouts),
                    torch.where(mine, found.log_ratio, result.log_ratio),
                )
            below = above
        return result


def chosen(which: BatchAnchorSample, yes: Rollouts, no: Rollouts) -> Rollouts:
    """Return ``yes`` where ``which`` (batch, anchor, sample) and ``no`` elsewhere."""
    here = which.unsqueeze(-1)
    return dataclasses.replace(
        no,
        completions=torch.where(here, yes.completions, no.completions),
        completion_mask=torch.where(here, yes.completion_mask, no.completion_mask),
        log_probs=torch.where(here, yes.log_probs, no.log_probs),
    )
