"""Quasi-rejection sampling: rejection with a bound that need not hold."""

from __future__ import annotations

import dataclasses

import torch

from ebmlm.errors import UserError
from ebmlm.rollouts import SequenceBatch
from ebmlm.samplers.base import Sampler
from ebmlm.samplers.randomness import sequence_uniforms
from ebmlm.targets.energy_model import EnergyModel
from ebmlm.targets.partition import estimate_partition
from ebmlm.targets.rejection import rejection_at
from ebmlm.targets.samplers.base import TargetDraws, TargetSampler, picked, ruled_out

__all__ = ["QuasiRejection"]


class QuasiRejection(TargetSampler):
    """Accepts a candidate of weight w with probability ``min(1, w / beta)``.

    (Eikema et al. 2022.) Where beta is at least the largest weight it is rejection sampling, and
    exact; below, accepted completions follow ``min(a, beta q)`` normalised, whose total variation
    from the target is estimated beside the acceptance rate. For a hard constraint over the language
    model itself every weight is 0 or 1, and ``log_beta = 0`` is exact.

    Args:
        proposal: draws candidates from the target's language model; its ``samples`` are those of
            one round.
        log_beta: log of the bound on unnormalised weights, in nats.
        samples: completions per anchor.
        rounds: at most; an anchor that has too few accepted completions by then is filled up with
            candidates that were not accepted, and ``missing`` says how many.

    Raises:
        UserError: for fewer than one sample or round, or a bound that is not finite.
    """

    def __init__(
        self, proposal: Sampler, log_beta: float = 0.0, samples: int = 1, rounds: int = 8
    ) -> None:
        for name, value in (("samples", samples), ("rounds", rounds)):
            if value < 1:
                raise UserError(f"{name} is {value}: it must be at least 1")
        if not -float("inf") < log_beta < float("inf"):
            raise UserError(f"log_beta is {log_beta}: the log of the bound must be finite")
        self.proposal = proposal
        self.log_beta = log_beta
        self.samples = samples
        self.rounds = rounds

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

        Reports ``acceptance`` (share of candidates), ``candidates`` that an anchor needed,
        ``missing`` completions, and of the first round's candidates the ``total_variation`` of what
        is accepted from the target and the ``log_partition``: that there were later rounds says
        that earlier ones were poor, which would bias a mean over all.
        """
        rounds, accepted, weights = [], [], []
        seed = int(torch.randint(1 << 62, (), generator=generator))
        for number in range(self.rounds):
            # A generator of its own for each round: how many there are moves no other draw.
            own = torch.Generator().manual_seed((seed + number) % (1 << 63))
            candidates = self.proposal.sample(target.language_model, batch, generator=own)
            log_weights = target.proposed_log_weights(candidates)
            uniforms = sequence_uniforms(batch.ids, tuple(log_weights.shape[1:]), own)
            rounds.append(candidates)
            weights.append(log_weights)
            accepted.append(uniforms.log() < log_weights - self.log_beta)
            enough = torch.cat(accepted, -1).sum(-1) >= self.samples
            if (enough | ~candidates.anchor_mask).all():
                break
        everything = dataclasses.replace(
            rounds[0],
            completions=torch.cat([one.completions for one in rounds], 2),
            completion_mask=torch.cat([one.completion_mask for one in rounds], 2),
            log_probs=torch.cat([one.log_probs for one in rounds], 2),
        )
        kept, log_weights = torch.cat(accepted, -1), torch.cat(weights, -1)
        if everything.samples < self.samples:
            raise UserError(
                f"{everything.samples} candidates in {self.rounds} rounds and {self.samples}"
                " completions asked for: propose more a round, or allow more rounds"
            )
        # An anchor looks at no more rounds than it needs, whatever its neighbours do.
        size = rounds[0].samples
        numbers = torch.arange(everything.samples, device=kept.device)
        needed = size * (1 + (kept.cumsum(-1)[..., size - 1 : -1 : size] < self.samples).sum(-1))
        kept = kept & (numbers < needed.unsqueeze(-1))
        # Accepted ones first, each in the order of its candidate.
        order = kept.long().sort(dim=-1, descending=True, stable=True).indices
        index = order[..., : self.samples]
        return TargetDraws(
            picked(everything, index),
            {
                "acceptance": kept.sum(-1) / needed.double(),
                "candidates": needed.double(),
                "missing": (self.samples - kept.sum(-1)).clamp(min=0).double(),
                "total_variation": rejection_at(weights[0], self.log_beta)[1],
                "log_partition": estimate_partition(weights[0]).log_partition,
                "ruled_out": ruled_out(log_weights.gather(-1, index)),
            },
        )
