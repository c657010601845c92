"""Metropolis-Hastings with a language model as proposal: completions, their ends, or spans."""

from __future__ import annotations

import torch

from ebmlm.errors import UserError
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.samplers.base import Sampler
from ebmlm.samplers.randomness import sequence_uniforms
from ebmlm.targets.chains import r_hat
from ebmlm.targets.energy_model import EnergyModel
from ebmlm.targets.samplers.base import TargetDraws, TargetSampler, ruled_out
from ebmlm.targets.samplers.proposals import Proposal, SuffixProposal, chosen
from ebmlm.typing import BatchAnchorSample

__all__ = ["MetropolisHastings"]


class MetropolisHastings(TargetSampler):
    """Chains that end in the target's distribution, one for each sample of an anchor.

    A proposal y' for y is accepted with probability ``min(1, r w(y') / w(y))``, where w are
    importance weights of target and language model, and r is how far the proposal is from balance
    under the language model: 1 where a beginning is kept (Hastings 1970). Exact in the limit of
    many steps; samples of an anchor are independent chains.

    Args:
        start: draws the chains' first completions, one a sample.
        proposal: how a chain moves.
        steps: of each chain.

    Raises:
        UserError: for fewer than one step.
    """

    def __init__(self, start: Sampler, proposal: Proposal | None = None, steps: int = 16) -> None:
        if steps < 1:
            raise UserError(f"steps is {steps}: a chain takes at least 1")
        self.start = start
        self.samples = start.samples
        self.proposal = SuffixProposal() if proposal is None else proposal
        self.steps = steps

    @property
    def source(self) -> Sampler:
        """The sampler of first completions."""
        return self.start

    def draw(
        self,
        target: EnergyModel,
        batch: SequenceBatch,
        *,
        generator: torch.Generator | None = None,
    ) -> TargetDraws:
        """See :meth:`TargetSampler.draw`; reports what :meth:`walk` does."""
        start = self.start.sample(target.language_model, batch, generator=generator)
        return self.walk(target, start, generator=generator)

    def walk(
        self,
        target: EnergyModel,
        rollouts: Rollouts,
        *,
        generator: torch.Generator | None = None,
    ) -> TargetDraws:
        """Take all the steps from where chains are.

        Reports ``acceptance`` (share of proposals), ``moved`` (share of chains that ever moved) and
        ``r_hat`` of the log-weights over the second half of the chains (Gelman and Rubin 1992).

        Args:
            target: whose distribution is kept.
            rollouts: where the chains start, drawn by or scored under the target's language model.
            generator: a CPU generator.
        """
        weights = target.proposed_log_weights(rollouts)
        accepted, trace = [], [weights]
        for _ in range(self.steps):
            rollouts, weights, moves = self.step(target, rollouts, weights, generator=generator)
            accepted.append(moves)
            trace.append(weights)
        moves = torch.stack(accepted, -1)
        second_half = torch.stack(trace[len(trace) // 2 :], -1)
        return TargetDraws(
            rollouts,
            {
                "acceptance": moves.double().mean((-1, -2)),
                "moved": moves.any(-1).double().mean(-1),
                "r_hat": r_hat(second_half),
                "ruled_out": ruled_out(weights),
            },
        )

    def step(
        self,
        target: EnergyModel,
        rollouts: Rollouts,
        log_weights: BatchAnchorSample,
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Rollouts, BatchAnchorSample, BatchAnchorSample]:
        """Move every chain once: what they are then, their log-weights, and which moved.

        The target's distribution is left as it is: chains that follow it go on following it.

        Args:
            target: whose distribution is kept.
            rollouts: where the chains are.
            log_weights: of these, (batch, anchor, sample) in nats.
            generator: a CPU generator.
        """
        anchors, samples, horizon = rollouts.completions.shape[1:]
        shape = (anchors, samples, horizon + 2)
        uniforms = sequence_uniforms(rollouts.batch.ids, shape, generator)
        numbers = torch.cat([uniforms[..., :1], uniforms[..., 2:]], -1)
        proposed = self.proposal.propose(target.language_model, rollouts, numbers)
        new = target.proposed_log_weights(proposed.rollouts)
        refused = (proposed.log_ratio == -torch.inf) | (new == -torch.inf)
        # A chain that starts where the target has nothing goes anywhere.
        ratio = torch.where(log_weights == -torch.inf, torch.inf, new - log_weights)
        ratio = torch.where(refused, -torch.inf, ratio + proposed.log_ratio)
        moves = (uniforms[..., 1].log() < ratio) & rollouts.anchor_mask.unsqueeze(-1)
        after = chosen(moves, proposed.rollouts, rollouts)
        return after, torch.where(moves, new, log_weights), moves
