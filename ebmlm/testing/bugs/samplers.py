"""Samplers that draw, or record, something else than they say."""

from __future__ import annotations

import dataclasses

import torch

from ebmlm.distribution import Categorical
from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.samplers.anchors import StridedAnchors
from ebmlm.samplers.block_parallel import BlockParallelSampler
from ebmlm.testing.bugs.bug import Bug
from ebmlm.testing.laws.sampler import (
    draws_belong_to_their_sequence,
    draws_follow_the_model,
    nothing_follows_the_end,
    recorded_log_probs_are_scored,
)

__all__ = [
    "SAMPLER_BUGS",
    "CountsPastTheEnd",
    "DrawsAtOne",
    "RecordsAtOne",
    "RepeatedSamples",
    "SeededByPlace",
]


class _Small(BlockParallelSampler):
    """Rollouts of two tokens, drawn at a low temperature."""

    def __init__(self) -> None:
        super().__init__(StridedAnchors(2, 1), 2, 2, Categorical(0.6))


class DrawsAtOne(_Small):
    """Draws at temperature 1 what it says it drew at another."""

    def sample(
        self,
        model: LanguageModel,
        batch: SequenceBatch,
        *,
        generator: torch.Generator | None = None,
    ) -> Rollouts:
        """See :meth:`Sampler.sample`."""
        plain = BlockParallelSampler(self.anchors, self.horizon, self.samples)
        drawn = plain.sample(model, batch, generator=generator)
        return dataclasses.replace(drawn, distribution=self.distribution)


class RecordsAtOne(_Small):
    """Draws at a temperature and records the log-probabilities of temperature 1."""

    def sample(
        self,
        model: LanguageModel,
        batch: SequenceBatch,
        *,
        generator: torch.Generator | None = None,
    ) -> Rollouts:
        """See :meth:`Sampler.sample`."""
        drawn = super().sample(model, batch, generator=generator)
        plain = dataclasses.replace(drawn, distribution=Categorical())
        return dataclasses.replace(drawn, log_probs=model.score(plain).completions.detach())


class CountsPastTheEnd(_Small):
    """Counts every token of the horizon, those after an end too."""

    def sample(
        self,
        model: LanguageModel,
        batch: SequenceBatch,
        *,
        generator: torch.Generator | None = None,
    ) -> Rollouts:
        """See :meth:`Sampler.sample`."""
        drawn = super().sample(model, batch, generator=generator)
        every = torch.ones_like(drawn.completion_mask) & drawn.anchor_mask[:, :, None, None]
        return dataclasses.replace(drawn, completion_mask=every)


class RepeatedSamples(_Small):
    """Gives every sample of an anchor the same random numbers."""

    def sample(
        self,
        model: LanguageModel,
        batch: SequenceBatch,
        *,
        generator: torch.Generator | None = None,
    ) -> Rollouts:
        """See :meth:`Sampler.sample`."""
        drawn = super().sample(model, batch, generator=generator)
        first = [0] * self.samples
        return dataclasses.replace(
            drawn,
            completions=drawn.completions[:, :, first],
            completion_mask=drawn.completion_mask[:, :, first],
            log_probs=drawn.log_probs[:, :, first],
        )


class SeededByPlace(_Small):
    """Seeds a sequence by its place in the batch, so that cutting a batch changes the draws."""

    def sample(
        self,
        model: LanguageModel,
        batch: SequenceBatch,
        *,
        generator: torch.Generator | None = None,
    ) -> Rollouts:
        """See :meth:`Sampler.sample`."""
        places = dataclasses.replace(batch, ids=torch.arange(len(batch)))
        drawn = super().sample(model, places, generator=generator)
        return dataclasses.replace(drawn, batch=batch)


SAMPLER_BUGS = (
    Bug("drawn at another temperature", DrawsAtOne, draws_follow_the_model),
    Bug("recorded at another temperature", RecordsAtOne, recorded_log_probs_are_scored),
    Bug("counting past the end", CountsPastTheEnd, nothing_follows_the_end),
    Bug("the same numbers for every sample", RepeatedSamples, draws_follow_the_model),
    Bug("seeded by place", SeededByPlace, draws_belong_to_their_sequence),
)
"""Every wrong sampler."""
