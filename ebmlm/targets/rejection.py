"""What a bound on the weights costs, and what it gives: quasi-rejection before a draw is made."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ebmlm.errors import UserError
from ebmlm.typing import BatchAnchor, BatchAnchorSample, Row

__all__ = ["RejectionTradeoff", "rejection_at", "rejection_tradeoff"]


@dataclass(frozen=True, eq=False)
class RejectionTradeoff:
    """By bound, mean over contexts.

    Attributes:
        log_betas: (bound,) logs of bounds on the unnormalised weights, in nats, rising.
        acceptance: (bound,) share of candidates accepted, which falls.
        total_variation: (bound,) of accepted completions from the target, which falls too.
    """

    log_betas: Row
    acceptance: Row
    total_variation: Row

    def within(self, total_variation: float) -> float:
        """Return the least log bound whose total variation is at most this.

        Raises:
            UserError: where none of them is.
        """
        good = (self.total_variation <= total_variation).nonzero()
        if not len(good):
            raise UserError(
                f"no bound brings the total variation to {total_variation:g}: the best of them has"
                f" {float(self.total_variation.min()):.3g}; allow more, or try larger bounds"
            )
        return float(self.log_betas[int(good[0])])


def rejection_tradeoff(
    log_weights: BatchAnchorSample, log_betas: Row | None = None
) -> RejectionTradeoff:
    """Estimate acceptance and total variation at many bounds from one set of draws.

    A candidate of weight w is accepted with probability min(1, w / beta), so accepted ones follow
    q min(w, beta), normalised (Eikema et al. 2022, eq. 4 to 6).

    Args:
        log_weights: (batch, anchor, sample) of draws from the language model, in nats
            (:meth:`~ebmlm.targets.energy_model.EnergyModel.log_weights`).
        log_betas: (bound,) by default 16 quantiles of the weights that are not zero, up to the
            largest.

    Raises:
        UserError: where no draw has any weight.
    """
    alive = log_weights[log_weights > -torch.inf].double()
    if not len(alive):
        raise UserError("no draw has any weight: draw more, or loosen the constraint")
    if log_betas is None:
        log_betas = alive.quantile(torch.linspace(0, 1, 16, dtype=torch.float64)).unique()
    betas = log_betas.double().sort().values
    pairs = [rejection_at(log_weights.double(), float(beta)) for beta in betas]
    return RejectionTradeoff(
        betas,
        torch.stack([acceptance.mean() for acceptance, _ in pairs]),
        torch.stack([distance.mean() for _, distance in pairs]),
    )


def rejection_at(
    log_weights: BatchAnchorSample, log_beta: float
) -> tuple[BatchAnchor, BatchAnchor]:
    """Acceptance and total variation (batch, anchor) at one bound.

    The latter is ``1/2 E_q |w/Z - min(w, beta)/Z_beta|`` by the same draws (Eikema et al. 2022).

    Args:
        log_weights: (batch, anchor, sample) in nats.
        log_beta: log of the bound, in nats.
    """
    bounded = log_weights.clamp(max=log_beta)
    acceptance = (bounded - log_beta).exp().mean(-1)
    count = log_weights.shape[-1]
    nothing = (log_weights == -torch.inf).all(-1, keepdim=True)
    whole = torch.where(nothing, 0, log_weights).softmax(-1) * count
    cut = torch.where(nothing, 0, bounded).softmax(-1) * count
    return acceptance, (whole - cut).abs().mean(-1) / 2
