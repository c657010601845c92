"""Evaluation on held-out text: cross-entropy, feature-matching loss, alignment, diversity."""

from __future__ import annotations

import torch
from torch import Tensor

from ebmlm.data.row import TextRows
from ebmlm.energies.feature_matching import feature_matching_terms
from ebmlm.errors import UserError
from ebmlm.evaluation.base import Evaluation, OnProgress
from ebmlm.evaluation.batches import measured_in_batches
from ebmlm.evaluation.measurement import Measurement
from ebmlm.evaluation.report import EvaluationReport
from ebmlm.features.base import FeatureMap
from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.samplers.base import Sampler

__all__ = ["HeldOutEvaluation"]


class HeldOutEvaluation(Evaluation):
    """Measures a model on held-out sequences, always with the same draws.

    - ``cross_entropy``: mean negative log-likelihood per real token, nats, temperature 1.
    - ``feature_matching_loss``: the unbiased estimate of ``E || E_p[phi] - phi* ||^2`` from the
      rollouts of each anchor (docs/mathematics.md, eq. 2 and 5), plain features, no whitening.
    - ``alignment``: ``2 phi_j . phi*``, the mean over rollouts.
    - ``diversity``: ``2 phi_j . phi_k``, the mean over pairs of rollouts; high is alike.

    The random numbers of a sequence depend on ``seed`` and its id only, so that two models, or one
    before and after training, are compared on common random numbers.

    Args:
        sampler: draws at least two rollouts per anchor.
        features: what is matched; the same network for every model that is to compare.
        batch_size: sequences evaluated at once; the result does not depend on it.
        seed: of the draws.

    Raises:
        UserError: for one sample per anchor, or a batch size under 1.
    """

    def __init__(
        self,
        sampler: Sampler,
        features: FeatureMap,
        batch_size: int = 4,
        seed: int = 0,
    ) -> None:
        if sampler.samples < 2:
            raise UserError(
                f"{sampler.samples} sample per anchor: the feature-matching loss needs at least 2"
            )
        if batch_size < 1:
            raise UserError(f"batch_size is {batch_size}: it must be at least 1 sequence")
        self.sampler = sampler
        self.features = features
        self.batch_size = batch_size
        self.seed = seed

    def __call__(
        self,
        model: LanguageModel,
        rows: TextRows,
        *,
        device: torch.device | str = "cpu",
        on_progress: OnProgress | None = None,
    ) -> EvaluationReport:
        """See :meth:`Evaluation.__call__`; a row without a valid anchor counts zero."""
        return measured_in_batches(
            rows, self.batch_size, lambda batch: self._measure(model, batch), device, on_progress
        )

    @torch.no_grad()
    def _measure(self, model: LanguageModel, batch: SequenceBatch) -> dict[str, Measurement]:
        likelihood = -model.score_sequences(batch).double().sum(1).cpu()
        tokens = batch.target_mask().sum(1).cpu()
        measured = {"cross_entropy": Measurement(likelihood, tokens)}
        generator = torch.Generator().manual_seed(self.seed)
        rollouts = self.sampler.sample(model, batch, generator=generator)
        counts = rollouts.anchor_mask.sum(1).cpu()
        for name, values in self._matching(rollouts).items():
            valid = torch.where(rollouts.anchor_mask, values, 0)
            measured[name] = Measurement(valid.double().sum(1).cpu(), counts)
        return measured

    def _matching(self, rollouts: Rollouts) -> dict[str, Tensor]:
        features = self.features(rollouts)
        terms = feature_matching_terms(features, rollouts.anchor_mask)
        assert features.references is not None
        # The functional leaves out ||phi*||^2, which no policy can change; blocks are averaged.
        constant = features.references.square().sum(-1) / len(features.blocks)
        return {"feature_matching_loss": terms.functional() + constant, **terms.metrics}
