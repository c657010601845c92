"""What the real continuation is compared with while an energy is trained: noise, or chains."""

from __future__ import annotations

import copy
import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from ebmlm.continuations import CompleteContinuations, cut_continuations, with_real_first
from ebmlm.distribution import Categorical, TokenDistribution
from ebmlm.energies.base import Energy
from ebmlm.errors import UserError
from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.samplers.base import Sampler
from ebmlm.targets.energy_model import EnergyModel
from ebmlm.targets.samplers.metropolis_hastings import MetropolisHastings
from ebmlm.targets.samplers.proposals import Proposal
from ebmlm.typing import BatchAnchor, BatchAnchorSample

__all__ = ["Chains", "DataChains", "NegativeDraws", "Negatives", "Noise", "at_data", "log_ratios"]


@dataclass(frozen=True, eq=False)
class NegativeDraws:
    """What was drawn.

    Attributes:
        rollouts: the negatives, their references the real continuations, cut as completions are.
        real_ratio: (batch, anchor) ``log p_LM - log q`` of the real continuation, in nats.
        ratios: (batch, anchor, sample) the same of the negatives.
        metrics: named measurements (batch, anchor).
    """

    rollouts: Rollouts
    real_ratio: BatchAnchor
    ratios: BatchAnchorSample
    metrics: Mapping[str, BatchAnchor] = field(default_factory=dict)


class Negatives(ABC):
    """Answers one question: what is the real continuation compared with?

    Draws for a sequence depend on the generator and the sequence's id, not on what else is in the
    batch.

    Args:
        sampler: places the anchors, and says how many negatives there are, how long, and how a
            token is drawn. Anchors whose real continuation is no whole completion are left out
            (:class:`~ebmlm.continuations.CompleteContinuations`).
        end_tokens: of the language model; the real continuation is cut after the first.

    Raises:
        UserError: for a distribution that leaves tokens out, of which some may be real.
    """

    def __init__(self, sampler: Sampler, end_tokens: Sequence[int] = ()) -> None:
        if sampler.distribution.truncates:
            raise UserError(
                f"negatives from {sampler.distribution}: some real text can never be drawn from it,"
                " and would be told apart by that alone; use a Categorical without top_k and top_p"
            )
        self.end_tokens = tuple(end_tokens)
        self.sampler = copy.copy(sampler)
        self.sampler.anchors = CompleteContinuations(sampler.anchors, end_tokens)

    @abstractmethod
    def __call__(
        self,
        model: LanguageModel,
        energy: Energy,
        batch: SequenceBatch,
        generator: torch.Generator | None = None,
    ) -> NegativeDraws:
        """Draw negatives at anchors of ``batch``, without gradient.

        Args:
            model: the language model that the energy corrects.
            energy: as it is now.
            batch: real text.
            generator: a CPU generator; torch's default one where none is given.
        """


class Noise(Negatives):
    """Rollouts of the language model: the noise of noise-contrastive estimation.

    Args:
        sampler: draws them; see :class:`Negatives`.
        end_tokens: of the language model.
        base: how ``p_LM`` itself draws a token; plain unless given. Where the sampler's
            distribution is another one (a temperature), log-weights have the ratio of the two in
            them.
    """

    def __init__(
        self,
        sampler: Sampler,
        end_tokens: Sequence[int] = (),
        base: TokenDistribution | None = None,
    ) -> None:
        super().__init__(sampler, end_tokens)
        self.base = Categorical() if base is None else base

    @torch.no_grad()
    def __call__(
        self,
        model: LanguageModel,
        energy: Energy,
        batch: SequenceBatch,
        generator: torch.Generator | None = None,
    ) -> NegativeDraws:
        """See :meth:`Negatives.__call__`."""
        rollouts = self.sampler.sample(model, batch, generator=generator)
        rollouts = _cut(rollouts, self.end_tokens)
        ratios = log_ratios(model, with_real_first(rollouts), self.base)
        return NegativeDraws(rollouts, ratios[..., 0], ratios[..., 1:])


class Chains(Negatives):
    """Markov chains that start at the real continuation, or went on from there.

    Args:
        sampler: places anchors and says how tokens are drawn; its ``samples`` are chains.
        end_tokens: of the language model.
        proposal: how a chain moves; by default a new end from a random place on.
        steps: of each chain each time, at least 1. With more the gradient is nearer the
            likelihood's.
    """

    def __init__(
        self,
        sampler: Sampler,
        end_tokens: Sequence[int] = (),
        proposal: Proposal | None = None,
        steps: int = 1,
    ) -> None:
        super().__init__(sampler, end_tokens)
        self.chain = MetropolisHastings(self.sampler, proposal, steps)

    @torch.no_grad()
    def __call__(
        self,
        model: LanguageModel,
        energy: Energy,
        batch: SequenceBatch,
        generator: torch.Generator | None = None,
    ) -> NegativeDraws:
        """See :meth:`Negatives.__call__`; reports ``acceptance``.

        The language model draws as the chains do, so that ratios are zero.
        """
        start = self.started(at_data(model, batch, self.sampler, self.end_tokens))
        target = EnergyModel(model, energy, distribution=self.sampler.distribution)
        walked = self.chain.walk(target, start, generator=generator)
        self.left(walked.rollouts)
        nothing = start.log_probs.new_zeros(start.completions.shape[:3])
        acceptance = {"acceptance": walked.diagnostics["acceptance"]}
        return NegativeDraws(walked.rollouts, nothing[..., 0], nothing, acceptance)

    @abstractmethod
    def started(self, real: Rollouts) -> Rollouts:
        """Return where chains start this time.

        Args:
            real: the real continuation as every chain's completion.
        """

    def left(self, rollouts: Rollouts) -> None:
        """Be told where chains are after their steps; by default nothing.

        Args:
            rollouts: of which each is a chain.
        """
        return


class DataChains(Chains):
    """Chains that start at the real continuation each time: contrastive divergence's."""

    def started(self, real: Rollouts) -> Rollouts:
        """See :meth:`Chains.started`: there."""
        return real


def at_data(
    model: LanguageModel, batch: SequenceBatch, sampler: Sampler, end_tokens: Sequence[int]
) -> Rollouts:
    """Return the real continuations as rollouts, ``sampler.samples`` times, scored by ``model``."""
    anchors, valid = sampler.anchors(batch, sampler.horizon)
    tokens, mask = cut_continuations(batch, anchors, valid, sampler.horizon, end_tokens)
    many = (*tokens.shape[:2], sampler.samples, tokens.shape[2])
    rollouts = Rollouts.given(
        batch,
        anchors,
        valid,
        tokens.unsqueeze(2).expand(many),
        sampler.distribution,
        mask.unsqueeze(2).expand(many),
    )
    rollouts = dataclasses.replace(rollouts, references=tokens, reference_mask=mask)
    return dataclasses.replace(rollouts, log_probs=model.score(rollouts).completions)


@torch.no_grad()
def log_ratios(
    model: LanguageModel, rollouts: Rollouts, base: TokenDistribution
) -> BatchAnchorSample:
    """``log p - log q`` (batch, anchor, sample) in nats, where the model draws tokens by ``base``.

    q is the rollouts' own distribution; where it is ``base`` nothing is computed.
    """
    if rollouts.distribution == base:
        shape = rollouts.completions.shape[:3]
        return torch.zeros(shape, device=rollouts.completions.device)
    plain = dataclasses.replace(rollouts, distribution=base)
    return model.score(plain).completions.sum(-1) - model.score(rollouts).completions.sum(-1)


def _cut(rollouts: Rollouts, end_tokens: Sequence[int]) -> Rollouts:
    tokens, mask = cut_continuations(
        rollouts.batch, rollouts.anchors, rollouts.anchor_mask, rollouts.horizon, end_tokens
    )
    return dataclasses.replace(rollouts, references=tokens, reference_mask=mask)
