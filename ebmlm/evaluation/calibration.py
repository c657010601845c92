"""The partition function of an energy model over many contexts: what makes it sum to one."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from ebmlm.continuations import CompleteContinuations
from ebmlm.errors import UserError
from ebmlm.evaluation.intervals import t_interval
from ebmlm.evaluation.measurement import Measurement
from ebmlm.rollouts import SequenceBatch
from ebmlm.samplers.base import Sampler
from ebmlm.targets.energy_model import EnergyModel

__all__ = ["Calibration", "calibrate"]


@dataclass(frozen=True)
class Calibration:
    """Of all contexts together, in nats.

    Attributes:
        log_partition: log of the mean weight over contexts and draws, whose exponential is an
            unbiased estimate of the mean of Z(c).
        standard_error: of it, over sequences, by the delta method.
        spread: standard deviation between contexts of log Z(c), that of its estimates taken off:
            how far one number for all is right.
        contexts: how many there were.
        sequences: in how many sequences.
    """

    log_partition: float
    standard_error: float
    spread: float
    contexts: int
    sequences: int

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Confidence interval of the log of the mean of Z(c)."""
        return t_interval(self.log_partition, self.standard_error, self.sequences - 1, level)


@torch.no_grad()
def calibrate(
    target: EnergyModel,
    sampler: Sampler,
    batches: Iterable[SequenceBatch],
    generator: torch.Generator | None = None,
) -> Calibration:
    """Estimate the log-partition function of ``target`` over the contexts of ``batches``.

    ``energy.add_constant(calibration.log_partition)`` then makes the mean of Z(c) one. Of a single
    context, :func:`~ebmlm.targets.partition.estimate_partition` says log Z(c).

    Args:
        target: language model and energy.
        sampler: draws at least two completions an anchor from the language model.
        batches: text that the energy was not trained on.
        generator: a CPU generator.

    Raises:
        UserError: for one sample an anchor, or no valid anchor at all.
    """
    if sampler.samples < 2:
        raise UserError(f"{sampler.samples} sample per anchor: draw at least 2 to calibrate")
    # A completion of p_LM needs no real continuation, but contexts are those that training has.
    anchors = CompleteContinuations(sampler.anchors, target.language_model.end_tokens)
    drawn, valid = [], []
    for batch in batches:
        rollouts = sampler.sample(target.language_model, batch, generator=generator)
        mask = rollouts.anchor_mask & anchors(batch, sampler.horizon)[1]
        weights = target.log_weights(rollouts).double().cpu()
        drawn += list(weights)
        valid += list(mask.cpu())
    rows = [weights[mask] for weights, mask in zip(drawn, valid, strict=True)]
    every = torch.cat(rows) if rows else torch.zeros(0, sampler.samples)
    if not len(every):
        raise UserError("no valid anchor to calibrate at: give longer sequences")
    highest = float(every.max())
    measured = Measurement(
        torch.stack([(row - highest).exp().sum() for row in rows]),
        torch.tensor([row.numel() for row in rows]),
    )
    count = sampler.samples
    total = every.logsumexp(-1)
    effective = (2 * total - (2 * every).logsumexp(-1)).exp()
    noise = ((count / effective - 1) / (count - 1)).mean()
    between = (total.var() - noise).clamp(min=0) if len(total) > 1 else torch.tensor(math.nan)
    return Calibration(
        highest + math.log(measured.mean),
        measured.standard_error / measured.mean,
        float(between.sqrt()),
        len(every),
        measured.items,
    )
