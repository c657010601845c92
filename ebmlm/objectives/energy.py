"""Training an energy over a fixed language model: compare, tell apart, move."""

from __future__ import annotations

import torch
from torch import nn

from ebmlm.energies.residual import ResidualEnergy
from ebmlm.estimators.base import Estimate, mean_over_anchors
from ebmlm.estimators.contrastive import Contrast, ContrastiveLoss
from ebmlm.language_model import LanguageModel
from ebmlm.objectives.base import ItemCounts, Objective
from ebmlm.rollouts import SequenceBatch
from ebmlm.samplers.base import Sampler
from ebmlm.targets.negatives import Negatives

__all__ = ["EnergyObjective"]


class EnergyObjective(Objective):
    """Any negatives, energy and contrastive loss; the language model stays as it is.

    Noise and :class:`~ebmlm.estimators.contrastive.BinaryNCE` are noise-contrastive estimation,
    chains and :class:`~ebmlm.estimators.contrastive.PhaseDifference` contrastive divergence
    (docs/mathematics.md, "Learning an energy").

    Args:
        negatives: what the real continuations are compared with.
        energy: what is trained.
        contrast: turns energies of both into a loss.
    """

    def __init__(
        self, negatives: Negatives, energy: ResidualEnergy, contrast: ContrastiveLoss
    ) -> None:
        self.negatives = negatives
        self.energy = energy
        self.contrast = contrast

    @property
    def sampler(self) -> Sampler:
        """What places the anchors."""
        return self.negatives.sampler

    def trained(self, model: LanguageModel) -> nn.Module:
        """See :meth:`Objective.trained`: the energy's module."""
        return self.energy.module

    def loss(
        self,
        model: LanguageModel,
        batch: SequenceBatch,
        *,
        counts: ItemCounts | None = None,
        generator: torch.Generator | None = None,
    ) -> Estimate:
        """See :meth:`Objective.loss`; the gradient is in the energy's module alone.

        Reports the metrics of loss and negatives, and the mean ``real_energy`` and
        ``negative_energy`` in nats.
        """
        drawn = self.negatives(model, self.energy, batch, generator)
        valid = drawn.rollouts.anchor_mask
        own = ItemCounts(int(valid.sum()), int(batch.target_mask().sum()))
        counts = own if counts is None else counts
        real, negatives = self.energy.contrast(drawn.rollouts)
        found = self.contrast(Contrast(real, negatives, drawn.real_ratio, drawn.ratios))
        share = own.anchors / max(counts.anchors, 1)
        metrics = {
            **found.metrics,
            **drawn.metrics,
            "real_energy": real.detach(),
            "negative_energy": negatives.detach().mean(-1),
        }
        return Estimate(
            mean_over_anchors(found.losses, valid) * share,
            {name: mean_over_anchors(value, valid) * share for name, value in metrics.items()},
        )

    def counts(self, batch: SequenceBatch) -> ItemCounts:
        """See :meth:`Objective.counts`."""
        anchors = self.sampler.anchors.counts(batch, self.sampler.horizon)
        return ItemCounts(int(anchors.sum()), int(batch.target_mask().sum()))
