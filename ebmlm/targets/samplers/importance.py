"""Sampling importance resampling."""

from __future__ import annotations

import torch
from torch import Tensor

from ebmlm.errors import UserError
from ebmlm.rollouts import SequenceBatch
from ebmlm.samplers.base import Sampler
from ebmlm.samplers.randomness import sequence_uniforms
from ebmlm.targets.energy_model import EnergyModel
from ebmlm.targets.partition import estimate_partition
from ebmlm.targets.samplers.base import TargetDraws, TargetSampler, picked, ruled_out
from ebmlm.typing import BatchAnchorSample

__all__ = ["ImportanceResampling", "resampled"]


class ImportanceResampling(TargetSampler):
    """Candidates from the language model, drawn again in proportion to their weights.

    (Rubin 1987.) Exact in the limit of many candidates; with M the distribution is off by a total
    variation of the order of 1/M, times the variance of the weights. Samples of an anchor come from
    the same candidates, so they may coincide. Where no candidate has any weight, the first ones are
    returned and ``effective_samples`` is zero.

    Args:
        proposal: draws the candidates from the target's language model.
        samples: completions per anchor.

    Raises:
        UserError: for fewer than one sample.
    """

    def __init__(self, proposal: Sampler, samples: int = 1) -> None:
        if samples < 1:
            raise UserError(f"samples is {samples}: draw at least 1")
        self.proposal = proposal
        self.samples = samples

    @property
    def source(self) -> Sampler:
        """The sampler of candidates."""
        return self.proposal

    def draw(
        self,
        target: EnergyModel,
        batch: SequenceBatch,
        *,
        generator: torch.Generator | None = None,
    ) -> TargetDraws:
        """See :meth:`TargetSampler.draw`.

        Reports ``log_partition`` with its ``log_partition_error``, and ``effective_samples`` of the
        candidates.
        """
        candidates = self.proposal.sample(target.language_model, batch, generator=generator)
        log_weights = target.proposed_log_weights(candidates)
        shape = (candidates.anchors.shape[1], self.samples)
        uniforms = sequence_uniforms(batch.ids, shape, generator)
        index = resampled(log_weights, uniforms)
        found = estimate_partition(log_weights)
        return TargetDraws(
            picked(candidates, index),
            {
                "log_partition": found.log_partition,
                "log_partition_error": found.standard_error,
                "effective_samples": found.effective_samples,
                "ruled_out": ruled_out(log_weights.gather(-1, index)),
            },
        )


def resampled(log_weights: Tensor, uniforms: BatchAnchorSample) -> BatchAnchorSample:
    """Numbers of candidates, each drawn with its weight (batch, anchor, candidate).

    Args:
        log_weights: (batch, anchor, candidate) in nats, up to a constant of each anchor.
        uniforms: (batch, anchor, sample) in [0, 1), one for each number.
    """
    # A group without any weight gets equal ones.
    none = (log_weights == -torch.inf).all(-1, keepdim=True)
    shares = torch.where(none, 0, log_weights).double().softmax(-1).cumsum(-1)
    # Rounding may leave the last edge a little under one.
    shares = shares / shares[..., -1:]
    return torch.searchsorted(shares.contiguous(), uniforms.contiguous(), right=True).clamp(
        max=log_weights.shape[-1] - 1
    )
