"""Evaluation of a learned energy on held-out text: does it know real text, and by how much?"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from ebmlm.continuations import CompleteContinuations, with_real_first
from ebmlm.data.row import TextRows
from ebmlm.energies.base import Energy
from ebmlm.errors import UserError
from ebmlm.estimators.contrastive import BinaryNCE, Contrast
from ebmlm.evaluation.base import Evaluation, OnProgress
from ebmlm.evaluation.batches import in_batches, measured_in_batches
from ebmlm.evaluation.measurement import Measurement
from ebmlm.evaluation.report import EvaluationReport
from ebmlm.language_model import LanguageModel
from ebmlm.rollouts import Scores, SequenceBatch
from ebmlm.samplers.base import Sampler
from ebmlm.targets.negatives import Noise
from ebmlm.targets.partition import estimate_partition
from ebmlm.typing import BatchAnchor, BatchAnchorSample

__all__ = ["EnergyEvaluation", "likelihood_gains"]


class EnergyEvaluation(Evaluation):
    """Measures an energy over a language model on held-out sequences, always with the same draws.

    - ``nce_loss``, ``nce_accuracy``, ``ranking_accuracy``: of the binary form, an anchor (chance is
      one half for both accuracies).
    - ``gain_upper``, ``gain_lower``, ``gain_resampled``: the gain in log-likelihood of the real
      continuations over the language model, nats a token, by :func:`likelihood_gains`: bounds from
      above and below for the energy model itself, and a bound from below for what importance
      resampling of ``samples + 1`` candidates writes.
    - ``window_cross_entropy``: of the language model on the same tokens, nats a token; less a gain
      it is the energy model's.
    - ``effective_samples``: of the noise, an anchor; near 1 the bounds are far apart.

    The random numbers of a sequence depend on ``seed`` and its id only.

    Args:
        energy: without pairwise terms.
        sampler: draws at least two noise samples an anchor from the language model.
        batch_size: sequences evaluated at once; the result does not depend on it.
        seed: of the draws.

    Raises:
        UserError: for one sample per anchor, a batch size under 1, or an energy that needs several
            samples.
    """

    def __init__(
        self, energy: Energy, sampler: Sampler, batch_size: int = 4, seed: int = 0
    ) -> None:
        if sampler.samples < 2:
            raise UserError(
                f"{sampler.samples} sample per anchor: bounds of the partition function need at"
                " least 2"
            )
        if energy.minimum_samples > 1:
            raise UserError(
                f"{type(energy).__name__} compares samples with each other: a model gives every"
                " completion an energy of its own"
            )
        if batch_size < 1:
            raise UserError(f"batch_size is {batch_size}: it must be at least 1 sequence")
        self.energy = energy
        self.sampler = sampler
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
        generator = torch.Generator().manual_seed(self.seed)
        noise = Noise(self.sampler, model.end_tokens)
        drawn = noise(model, self.energy, batch, generator)
        rollouts = drawn.rollouts
        # Real and noise through the same pass, in the same place: as if both had been drawn.
        both = dataclasses.replace(with_real_first(rollouts), distribution=noise.base)
        scored = model.score(both).completions
        energies = self.energy(both, Scores(scored, scored)).unary.double()
        contrast = Contrast(
            energies[..., 0], energies[..., 1:], drawn.real_ratio.double(), drawn.ratios.double()
        )
        # With ratios the language model cancels: both are weights over the noise.
        gains = likelihood_gains(-contrast.real, contrast.real_log_weight, contrast.log_weights)
        likelihood = scored[:, :, 0].double().sum(-1)
        valid = rollouts.anchor_mask
        tokens = torch.where(valid, rollouts.reference_mask.sum(-1), 0).sum(1).cpu()
        anchors = valid.sum(1).cpu()
        by_anchor = {
            **BinaryNCE()(contrast).metrics,
            "effective_samples": estimate_partition(contrast.log_weights).effective_samples,
        }
        by_token = {**gains, "window_cross_entropy": -likelihood}

        def total(values: BatchAnchor) -> Tensor:
            return torch.where(valid, values, 0).double().sum(1).cpu()

        return {
            **{name: Measurement(total(value), anchors) for name, value in by_anchor.items()},
            **{name: Measurement(total(value), tokens) for name, value in by_token.items()},
        }

    def check(
        self, model: LanguageModel, rows: TextRows, *, device: torch.device | str = "cpu"
    ) -> None:
        """See :meth:`Evaluation.check`.

        Raises:
            UserError: if no row has a valid anchor.
        """
        anchors = CompleteContinuations(self.sampler.anchors, model.end_tokens)
        if any(
            anchors(batch, self.sampler.horizon)[1].any()
            for batch in in_batches(rows, self.batch_size)
        ):
            return
        raise UserError(
            f"no held-out row has room for a continuation of {self.sampler.horizon} tokens: use"
            " longer sequences, or a shorter horizon"
        )


def likelihood_gains(
    real: BatchAnchor, real_log_weight: BatchAnchor, log_weights: BatchAnchorSample
) -> dict[str, BatchAnchor]:
    """Bounds of ``log p(y | c) - log p_LM(y | c)`` (batch, anchor) of the real continuations, nats.

    With T_n the log of the mean of n noise weights, whose expectation is at most log Z:

    - ``gain_upper``: ``-E - T_N``, whose expectation is at least the energy model's.
    - ``gain_lower``: ``-E - (2N-1) T_N + 2(N-1) T_(N-1)``, with the mean of T_(N-1) over the noise
      left out; its expectation is at most the energy model's once N is large enough (Deng et al.
      2020). The two biases are opposite in first order.
    - ``gain_resampled``: ``-E - T_(N+1)`` with the real continuation among the samples; its
      expectation is at most the gain of importance resampling with N + 1 candidates, for any N
      (docs/mathematics.md, "Learning an energy").

    Args:
        real: (batch, anchor) minus the energy of the real continuation, in nats.
        real_log_weight: (batch, anchor) its log-weight over the noise: the same where the noise is
            the language model's own.
        log_weights: (batch, anchor, sample) of the noise.
    """
    count = log_weights.shape[-1]
    total = log_weights.logsumexp(-1)
    mean = total - math.log(count)
    others = log_weights.unsqueeze(-2).expand(*log_weights.shape, count)
    own = torch.eye(count, dtype=torch.bool, device=log_weights.device)
    without = others.masked_fill(own, -torch.inf).logsumexp(-1) - math.log(count - 1)
    high = (2 * count - 1) * mean - 2 * (count - 1) * without.mean(-1)
    joined = torch.logaddexp(total, real_log_weight) - math.log(count + 1)
    return {
        "gain_upper": real - mean,
        "gain_lower": real - high,
        "gain_resampled": real - joined,
    }
