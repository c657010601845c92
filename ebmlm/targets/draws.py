"""Draws from a target as rollouts to learn from."""

from __future__ import annotations

import dataclasses
from typing import Self

import torch

from ebmlm.distribution import TokenDistribution
from ebmlm.errors import UserError
from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.samplers.base import Sampler
from ebmlm.samplers.replay import Priority
from ebmlm.targets.energy_model import EnergyModel
from ebmlm.targets.samplers.base import TargetSampler
from ebmlm.typing import BatchAnchorSample

__all__ = ["DensityPriority", "TargetDrawsSampler"]


class TargetDrawsSampler(Sampler):
    """Draws from a target, whatever the policy is: learning from somebody better.

    The policy that is handed to :meth:`sample` is not looked at, and scores the rollouts by the
    target's own token distribution. They are no draws of the policy: an estimator must accept that
    (:class:`~ebmlm.estimators.log_variance.LogVariance`).

    Args:
        target: what is drawn from; its language model proposes.
        target_sampler: how.
    """

    on_policy = False

    def __init__(self, target: EnergyModel, target_sampler: TargetSampler) -> None:
        self.target = target
        self.target_sampler = target_sampler
        self.anchors = target_sampler.source.anchors
        self.horizon = target_sampler.source.horizon
        self.samples = target_sampler.samples
        self.distribution = target.distribution

    def sample(
        self,
        model: LanguageModel,
        batch: SequenceBatch,
        *,
        generator: torch.Generator | None = None,
    ) -> Rollouts:
        """See :meth:`Sampler.sample`; ``log_probs`` are those of the target's proposals."""
        own = torch.Generator().manual_seed(int(torch.randint(1 << 62, (), generator=generator)))
        drawn = self.target_sampler.draw(self.target, batch, generator=own).rollouts
        return dataclasses.replace(drawn, distribution=self.target.distribution)

    def with_distribution(self, distribution: TokenDistribution) -> Self:
        """Refuse: how tokens are drawn is a part of the target.

        Raises:
            UserError: always.
        """
        raise UserError(
            "draws from a target follow the target's own token distribution: give EnergyModel"
            " another one"
        )


class DensityPriority(Priority):
    """In proportion to a power of the target's density: ``a(y | c) ** (1 / temperature)``.

    Costs one more pass of the target's language model over fresh rollouts. What the target rules
    out is never replayed.

    Args:
        target: whose density.
        temperature: above 0; large for choices that are nearly alike.

    Raises:
        UserError: for a temperature that is not above zero.
    """

    def __init__(self, target: EnergyModel, temperature: float = 1.0) -> None:
        if not 0 < temperature < float("inf"):
            raise UserError(f"temperature is {temperature}: it must be above 0 and finite")
        self.target = target
        self.temperature = temperature

    def __call__(self, rollouts: Rollouts) -> BatchAnchorSample:
        """See :meth:`Priority.__call__`."""
        return self.target.log_density(rollouts).double() / self.temperature
