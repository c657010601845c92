"""Evaluation on held-out text: cross-entropy, feature-matching loss, alignment, diversity."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ebmlm.data.row import TextRows
from ebmlm.energies.feature_matching import feature_matching_loss, feature_matching_terms
from ebmlm.errors import UserError
from ebmlm.evaluation.base import Evaluation, OnProgress
from ebmlm.evaluation.batches import measured_in_batches
from ebmlm.evaluation.measurement import Measurement
from ebmlm.evaluation.report import EvaluationReport
from ebmlm.evaluation.whitened import WhitenedMatching
from ebmlm.features.base import FeatureMap, Features
from ebmlm.features.shrinkage import Shrinkage
from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import SequenceBatch
from ebmlm.samplers.base import Sampler
from ebmlm.typing import BatchAnchor

__all__ = ["HeldOutEvaluation"]


class HeldOutEvaluation(Evaluation):
    """Measures a model on held-out sequences, always with the same draws.

    - ``cross_entropy``: mean negative log-likelihood per real token, nats, temperature 1.
    - ``feature_matching_loss``: the unbiased estimate of ``E || E_p[phi] - phi* ||^2`` from the
      rollouts of each anchor (docs/mathematics.md, eq. 2 and 5), plain features, no whitening.
    - ``whitened_feature_matching_loss``: the same in the metric of the real continuations of all
      rows (:class:`~ebmlm.evaluation.whitened.WhitenedMatching`), where it is asked for.
    - ``alignment``: ``2 phi_j . phi*``, the mean over rollouts.
    - ``diversity``: ``2 phi_j . phi_k``, the mean over pairs of rollouts; high is alike.

    The random numbers of a sequence depend on ``seed`` and its id only, so that two models, or one
    before and after training, are compared on common random numbers.

    Args:
        sampler: draws at least two rollouts per anchor.
        features: what is matched; the same network for every model that is to compare.
        batch_size: sequences evaluated at once; the result does not depend on it.
        seed: of the draws.
        whitened: shrinkage of the metric of ``whitened_feature_matching_loss``; None to leave it
            out. Features of all rows are kept for it.

    Raises:
        UserError: for one sample per anchor, or a batch size under 1.
    """

    def __init__(
        self,
        sampler: Sampler,
        features: FeatureMap,
        batch_size: int = 4,
        seed: int = 0,
        whitened: float | Shrinkage | None = None,
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
        self.whitened = whitened

    def __call__(
        self,
        model: LanguageModel,
        rows: TextRows,
        *,
        device: torch.device | str = "cpu",
        on_progress: OnProgress | None = None,
    ) -> EvaluationReport:
        """See :meth:`Evaluation.__call__`; a row without a valid anchor counts zero."""
        whitened = None if self.whitened is None else WhitenedMatching(self.whitened)
        report = measured_in_batches(
            rows,
            self.batch_size,
            lambda batch: self._measure(model, batch, whitened),
            device,
            on_progress,
        )
        if whitened is None:
            return report
        measured = {**report.measurements, "whitened_feature_matching_loss": whitened.measure()}
        return dataclasses.replace(report, measurements=measured)

    @torch.no_grad()
    def _measure(
        self, model: LanguageModel, batch: SequenceBatch, whitened: WhitenedMatching | None
    ) -> dict[str, Measurement]:
        likelihood = -model.score_sequences(batch).double().sum(1).cpu()
        tokens = batch.target_mask().sum(1).cpu()
        measured = {"cross_entropy": Measurement(likelihood, tokens)}
        generator = torch.Generator().manual_seed(self.seed)
        rollouts = self.sampler.sample(model, batch, generator=generator)
        counts = rollouts.anchor_mask.sum(1).cpu()
        features = self.features(rollouts)
        if whitened is not None:
            whitened.see(features, rollouts.anchor_mask)
        for name, values in self._matching(features, rollouts.anchor_mask).items():
            valid = torch.where(rollouts.anchor_mask, values, 0)
            measured[name] = Measurement(valid.double().sum(1).cpu(), counts)
        return measured

    def _matching(self, features: Features, anchor_mask: BatchAnchor) -> dict[str, Tensor]:
        terms = feature_matching_terms(features, anchor_mask)
        return {"feature_matching_loss": feature_matching_loss(features, terms), **terms.metrics}
