"""The sampler: which sequences do we look at?"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import ClassVar, Self

import torch

from ebmlm.distribution import TokenDistribution
from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.samplers.anchors import AnchorPlacement

__all__ = ["Sampler"]


class Sampler(ABC):
    """Answers one question: which sequences do we look at?

    An implementation draws from the model exactly what it says it draws: each rollout is
    distributed as if it had been drawn alone after its own prefix, and the log-probabilities that
    it records are those of the distribution it drew from. The draws for a sequence depend on the
    generator and the sequence's id, not on what else is in the batch; the generator is advanced
    by the same amount whatever the batch, so that a batch cut in pieces gives the same draws when
    each piece is given a generator in the same state.

    Attributes:
        anchors: where rollouts start; an objective counts anchors with it, without drawing.
        horizon: tokens of a rollout at most, G.
        samples: rollouts per anchor, N.
        distribution: how a token is drawn from the model's logits.

    All four are read when rollouts are drawn, so that a copy may have another of them.

    A sampler with ``on_policy = False`` draws from something else than the model that it is given:
    only estimators that accept that (``Estimator.off_policy``) can learn from its rollouts.
    """

    on_policy: ClassVar[bool] = True

    anchors: AnchorPlacement
    horizon: int
    samples: int
    distribution: TokenDistribution

    @abstractmethod
    def sample(
        self,
        model: LanguageModel,
        batch: SequenceBatch,
        *,
        generator: torch.Generator | None = None,
    ) -> Rollouts:
        """Draw rollouts from ``model`` at anchors of ``batch``, without gradient.

        Args:
            model: the policy.
            batch: real text.
            generator: a CPU generator; torch's default one where none is given.
        """

    def with_distribution(self, distribution: TokenDistribution) -> Self:
        """Return a copy of this sampler that draws from ``distribution``."""
        other = copy.copy(self)
        other.distribution = distribution
        return other
