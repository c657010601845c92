"""Objectives that depend on how a batch is cut or padded."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from ebmlm.energies.function import FunctionEnergy
from ebmlm.estimators.base import Estimate, mean_token_log_prob
from ebmlm.estimators.rloo import RLOO
from ebmlm.language_model import LanguageModel
from ebmlm.objectives.base import ItemCounts, Objective
from ebmlm.objectives.cross_entropy import CrossEntropy, cross_entropy
from ebmlm.objectives.policy import PolicyObjective
from ebmlm.objectives.recipes import ebft_unbiased
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.samplers.anchors import StridedAnchors
from ebmlm.samplers.block_parallel import BlockParallelSampler
from ebmlm.testing.bugs.bug import Bug
from ebmlm.testing.laws.composition import expected_gradient_descends
from ebmlm.testing.laws.objective import gradients_of_pieces_add_up, padding_moves_no_loss

__all__ = ["OBJECTIVE_BUGS", "MeanOverPositions", "OwnMeans", "SilentTokenMean", "TextByToken"]


class OwnMeans(Objective):
    """Takes each micro-batch's own mean, so that a token in a short piece weighs more."""

    def __init__(self, model: LanguageModel) -> None:
        self.inner = ebft_unbiased(model, horizon=2, stride=2, context=1, samples=2)

    def loss(
        self,
        model: LanguageModel,
        batch: SequenceBatch,
        *,
        counts: ItemCounts | None = None,
        generator: torch.Generator | None = None,
    ) -> Estimate:
        """See :meth:`Objective.loss`."""
        return self.inner.loss(model, batch, generator=generator)

    def counts(self, batch: SequenceBatch) -> ItemCounts:
        """See :meth:`Objective.counts`."""
        return self.inner.counts(batch)


class TextByToken(CrossEntropy):
    """Takes every token 0 for padding when cross-entropy is counted, though it may be text."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()

    def loss(
        self,
        model: LanguageModel,
        batch: SequenceBatch,
        *,
        counts: ItemCounts | None = None,
        generator: torch.Generator | None = None,
    ) -> Estimate:
        """See :meth:`Objective.loss`."""
        real = batch.sequences != 0
        guessed = dataclasses.replace(batch, sequence_mask=real)
        return super().loss(model, guessed, counts=counts, generator=generator)


class MeanOverPositions(CrossEntropy):
    """Divides by the number of positions, padding too, instead of the number of real tokens."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()

    def loss(
        self,
        model: LanguageModel,
        batch: SequenceBatch,
        *,
        counts: ItemCounts | None = None,
        generator: torch.Generator | None = None,
    ) -> Estimate:
        """See :meth:`Objective.loss`."""
        loss = cross_entropy(model.score_sequences(batch), batch.sequences.numel())
        return Estimate(loss, {"cross_entropy": loss.detach()})


class _WholeCredit(RLOO):
    def __init__(self) -> None:
        super().__init__(mean_token_log_prob)

    @property
    def bias(self) -> str | None:
        """None is declared."""
        return None


class SilentTokenMean(PolicyObjective):
    """Takes the mean over a rollout's tokens for its log-probability, though rollouts end early."""

    def __init__(self, model: LanguageModel) -> None:
        sampler = BlockParallelSampler(StridedAnchors(2, 1), 2, 2)
        super().__init__(sampler, FunctionEnergy(_zeros), _WholeCredit())


def _zeros(rollouts: Rollouts) -> Tensor:
    return (rollouts.completions == 0).sum(-1).double()


def _recipe(kind: Callable[[LanguageModel], Objective]) -> Callable[[], object]:
    """A maker of recipes: an objective is made for a policy."""

    def make() -> object:
        return kind

    make.__doc__ = kind.__doc__
    return make


OBJECTIVE_BUGS = (
    Bug("undeclared token mean", _recipe(SilentTokenMean), expected_gradient_descends),
    Bug("per-micro-batch means", _recipe(OwnMeans), gradients_of_pieces_add_up),
    Bug("text inferred from token values", _recipe(TextByToken), padding_moves_no_loss),
    Bug("mean over positions", _recipe(MeanOverPositions), padding_moves_no_loss),
)
"""Every wrong objective."""
