"""Fresh rollouts beside those of earlier steps."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import pad

from ebmlm.distribution import TokenDistribution
from ebmlm.errors import UserError
from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.samplers.base import Sampler
from ebmlm.samplers.randomness import sequence_uniforms
from ebmlm.samplers.replay_buffer import ReplayBuffer
from ebmlm.typing import BatchAnchorSample

__all__ = ["Priority", "ReplaySampler", "UniformPriority"]

_DRAWN = ("completions", "completion_mask", "log_probs")


class Priority(ABC):
    """Answers one question: how often is a completion to be replayed, compared with others?"""

    @abstractmethod
    def __call__(self, rollouts: Rollouts) -> BatchAnchorSample:
        """Return logs of weights (batch, anchor, sample), once when rollouts are stored.

        Minus infinity is never replayed.
        """


class UniformPriority(Priority):
    """All alike."""

    def __call__(self, rollouts: Rollouts) -> BatchAnchorSample:
        """See :meth:`Priority.__call__`."""
        shape = rollouts.completions.shape[:3]
        return torch.zeros(shape, dtype=torch.float64, device=rollouts.completions.device)


class ReplaySampler(Sampler):
    """What a sampler draws, and ``replayed`` completions of earlier steps at the same anchor.

    Stored completions of an anchor are chosen without replacement in proportion to their weights
    (Efraimidis and Spirakis 2006); where there are too few, fresh ones take their places. Fresh
    ones are stored when the optimiser step ends. What is drawn for a sequence depends on its id,
    the generator and the buffer, which does not change within a step.

    These are no draws of the policy: an estimator must accept that
    (:class:`~ebmlm.estimators.log_variance.LogVariance`).

    Args:
        sampler: draws fresh rollouts.
        replayed: rollouts per anchor that come from the buffer.
        buffer: what is remembered; two samplers must not share one.
        priority: which stored ones come back; by default all alike.

    Raises:
        UserError: for fewer than one replayed rollout, or more than the buffer keeps of an anchor.
    """

    on_policy = False

    def __init__(
        self,
        sampler: Sampler,
        replayed: int = 4,
        buffer: ReplayBuffer | None = None,
        priority: Priority | None = None,
    ) -> None:
        self.buffer = ReplayBuffer() if buffer is None else buffer
        if not 1 <= replayed <= self.buffer.per_anchor:
            raise UserError(
                f"replayed is {replayed}: replay at least 1 rollout per anchor, and at most the"
                f" {self.buffer.per_anchor} that the buffer keeps of each"
            )
        self.sampler = sampler
        self.replayed = replayed
        self.priority = UniformPriority() if priority is None else priority
        self.anchors = sampler.anchors
        self.horizon = sampler.horizon
        self.samples = sampler.samples + replayed
        self.distribution = sampler.distribution

    def with_distribution(self, distribution: TokenDistribution) -> Self:
        """See :meth:`Sampler.with_distribution`; the copy shares the buffer."""
        other = super().with_distribution(distribution)
        other.sampler = self.sampler.with_distribution(distribution)
        return other

    @torch.no_grad()
    def sample(
        self,
        model: LanguageModel,
        batch: SequenceBatch,
        *,
        generator: torch.Generator | None = None,
    ) -> Rollouts:
        """See :meth:`Sampler.sample`."""
        # Seeds for all parts, whether or not they are used: the generator moves on by the same.
        seeds = torch.randint(1 << 62, (3,), generator=generator).tolist()
        fresh_seed, extra_seed, choice_seed = (torch.Generator().manual_seed(s) for s in seeds)
        fresh = self._fresh(self.samples - self.replayed, model, batch, fresh_seed)
        extra = {
            name: torch.zeros_like(getattr(fresh, name)[:, :, :1]).repeat(1, 1, self.replayed, 1)
            for name in _DRAWN
        }
        chosen = self._chosen(fresh, choice_seed)
        lacking = ((chosen < 0) & fresh.anchor_mask.unsqueeze(-1)).any(-1).any(-1).nonzero()[:, 0]
        if len(lacking):
            rows = batch.map(lambda tensor: tensor[lacking])
            more = self._fresh(self.replayed, model, rows, extra_seed)
            for name in _DRAWN:
                drawn = getattr(more, name)
                room = extra[name].shape[1] - drawn.shape[1]
                extra[name][lacking] = pad(drawn, (0, 0, 0, 0, 0, room)).to(extra[name].dtype)
        self.buffer.see(fresh, self.priority(fresh))
        stored = chosen >= 0
        if (found := self.buffer.stored) is not None and stored.any():
            index = chosen[stored].cpu()
            columns = (found.tokens, found.mask, found.log_probs)
            for name, column in zip(_DRAWN, columns, strict=True):
                extra[name][stored] = column[index].to(extra[name])
        both = {name: torch.cat([getattr(fresh, name), extra[name]], 2) for name in _DRAWN}
        return Rollouts(
            batch=batch,
            anchors=fresh.anchors,
            anchor_mask=fresh.anchor_mask,
            references=fresh.references,
            reference_mask=fresh.reference_mask,
            distribution=fresh.distribution,
            **both,
        )

    def _fresh(
        self, samples: int, model: LanguageModel, batch: SequenceBatch, generator: torch.Generator
    ) -> Rollouts:
        sampler = copy.copy(self.sampler)
        sampler.anchors, sampler.horizon, sampler.samples = self.anchors, self.horizon, samples
        return sampler.sample(model, batch, generator=generator)

    def _chosen(self, fresh: Rollouts, generator: torch.Generator) -> Tensor:
        """Numbers (batch, anchor, replayed) of stored completions; -1 where there is none."""
        device = fresh.anchors.device
        chosen = torch.full((*fresh.anchors.shape, self.replayed), -1, device=device)
        shape = (fresh.anchors.shape[1], self.buffer.per_anchor)
        uniforms = sequence_uniforms(fresh.batch.ids, shape, generator).cpu()
        ids = fresh.batch.ids.tolist()
        for row, anchor in fresh.anchor_mask.nonzero().tolist():
            numbers = torch.tensor(self.buffer.at(ids[row], anchor), dtype=torch.long)
            if not len(numbers):
                continue
            assert self.buffer.stored is not None
            weights = self.buffer.stored.priorities[numbers]
            # The smallest of exponential times with these rates, on a logarithmic scale.
            times = (-(-uniforms[row, anchor, : len(numbers)]).log1p()).log() - weights
            first = times.argsort(stable=True)[: self.replayed]
            chosen[row, anchor, : len(first)] = numbers[first].to(device)
        return chosen
