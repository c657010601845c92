"""The objective: parts put together into something that can be minimised."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import nn

from ebmlm.estimators.base import Estimate
from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import SequenceBatch
from ebmlm.state import Gather, alone, stateful_parts

__all__ = ["ItemCounts", "Objective"]


@dataclass(frozen=True)
class ItemCounts:
    """What a batch's means are taken over.

    Attributes:
        anchors: valid anchors.
        tokens: real tokens that cross-entropy counts.
    """

    anchors: float
    tokens: float

    def __add__(self, other: ItemCounts) -> ItemCounts:
        return ItemCounts(self.anchors + other.anchors, self.tokens + other.tokens)


class Objective(ABC):
    """All that a training loop needs: a loss for a batch.

    A batch can be cut into pieces (micro-batches, processes): given the counts of the whole, the
    losses and metrics of the pieces add up to those of the whole, and so do the gradients.
    """

    @abstractmethod
    def loss(
        self,
        model: LanguageModel,
        batch: SequenceBatch,
        *,
        counts: ItemCounts | None = None,
        generator: torch.Generator | None = None,
    ) -> Estimate:
        """Return the loss of ``batch``, with gradient.

        Args:
            model: the language model; what is trained, unless :meth:`trained` says otherwise.
            batch: real text.
            counts: of the whole batch, where ``batch`` is a piece of it; by default its own.
            generator: a CPU generator for what is drawn; torch's default one where none is given.
        """

    @abstractmethod
    def counts(self, batch: SequenceBatch) -> ItemCounts:
        """Return what the means of ``batch`` are taken over; draws nothing."""

    def trained(self, model: LanguageModel) -> nn.Module:
        """Return what an optimiser is to move: the policy's module, unless an objective says else.

        Args:
            model: what :meth:`loss` is called with.
        """
        return model.module

    def end_step(self, gather: Gather = alone) -> None:
        """Let parts that keep a running state take in the step; after each ``optimiser.step()``.

        Only needed where a part is :class:`~ebmlm.state.Stateful`, such as
        :class:`~ebmlm.features.running_whitening.RunningMetricWhitening`.

        Args:
            gather: brings tensors of all processes together, where there are several.
        """
        for part in stateful_parts(self).values():
            part.end_step(gather)
