"""The target sampler: completions of an energy-based model, with how far to trust them."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.samplers.base import Sampler
from ebmlm.targets.energy_model import EnergyModel
from ebmlm.typing import BatchAnchor, BatchAnchorSample

__all__ = ["TargetDraws", "TargetSampler", "picked", "ruled_out"]


@dataclass(frozen=True, eq=False)
class TargetDraws:
    """What was drawn, and measurements of how it was drawn.

    Attributes:
        rollouts: the completions; their ``log_probs`` are those of the language model that
            proposed them, not of the target.
        diagnostics: (batch, anchor) by name: acceptance, effective samples, ...; ``ruled_out`` is
            always among them: how many of the completions the target gives no probability.
    """

    rollouts: Rollouts
    diagnostics: Mapping[str, BatchAnchor]


class TargetSampler(ABC):
    """Answers one question: which completions does an energy-based model write?

    Exact in a limit that the implementation names (of candidates, of steps, of a bound). Draws for
    a sequence depend on the generator and the sequence's id, not on what else is in the batch.

    Attributes:
        samples: completions per anchor.
    """

    samples: int

    @property
    @abstractmethod
    def source(self) -> Sampler:
        """What completions are first drawn by: it has their anchors, horizon and distribution."""

    @property
    def bias(self) -> str | None:
        """Why its draws do not follow the target in any limit; None where they do."""
        return None

    @abstractmethod
    def draw(
        self,
        target: EnergyModel,
        batch: SequenceBatch,
        *,
        generator: torch.Generator | None = None,
    ) -> TargetDraws:
        """Draw completions of the target at anchors of ``batch``, without gradient.

        Args:
            target: what is drawn from; its language model proposes.
            batch: real text.
            generator: a CPU generator; torch's default one where none is given.
        """


def picked(rollouts: Rollouts, index: BatchAnchorSample) -> Rollouts:
    """Return the rollouts with these numbers (batch, anchor, sample) of each anchor."""

    def pick(values: Tensor) -> Tensor:
        wide = index.unsqueeze(-1).expand(*index.shape, values.shape[-1])
        return values.gather(2, wide)

    return dataclasses.replace(
        rollouts,
        completions=pick(rollouts.completions),
        completion_mask=pick(rollouts.completion_mask),
        log_probs=pick(rollouts.log_probs),
    )


def ruled_out(log_weights: BatchAnchorSample) -> BatchAnchor:
    """How many of an anchor's completions, by their log-weights, the target does not allow."""
    return (log_weights == -torch.inf).double().sum(-1)
