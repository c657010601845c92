"""Targets as energies of a policy: what tuning towards them minimises."""

from __future__ import annotations

import torch

from ebmlm.divergences import Divergence, ForwardKL
from ebmlm.energies.base import Energy, EnergyTerms
from ebmlm.errors import UserError
from ebmlm.rollouts import Rollouts, Scores
from ebmlm.targets.energy_model import EnergyModel
from ebmlm.targets.partition import GroupPartition, Partition, estimate_partition

__all__ = ["DivergenceEnergy", "TargetEnergy"]


class TargetEnergy(Energy):
    """``-log a(y | c)``, minus the target's unnormalised log-density, in nats.

    With :class:`~ebmlm.estimators.log_variance.LogVariance` it tunes towards the target; with a
    policy gradient alone it would look for the target's mode.
    """

    def __init__(self, target: EnergyModel) -> None:
        self.target = target

    @torch.no_grad()
    def __call__(self, rollouts: Rollouts, scores: Scores) -> EnergyTerms:
        """See :meth:`Energy.__call__`.

        Raises:
            UserError: where the target rules a rollout out.
        """
        unary = -self.target.log_density(rollouts)
        if not unary.isfinite().all():
            raise UserError(
                "the target rules out a completion that was drawn, so its energy is infinite: use"
                " DivergenceEnergy with a bounded divergence, or a finite energy in place of the"
                " constraint"
            )
        return EnergyTerms(unary, metrics={"target_energy": unary.mean(-1)})


class DivergenceEnergy(Energy):
    """The first variation of an f-divergence of the policy from a target: f-DPG.

    ``f'(p(y) / t(y))``, where ``t = a / Z``; its policy gradient is that of ``D_f(p | t)`` (Go et
    al. 2023; docs/mathematics.md, "Towards a target"). :class:`~ebmlm.divergences.ForwardKL` is
    DPG.

    Args:
        target: what is tuned towards.
        divergence: f; the forward KL by default.
        partition: what is taken for ``log Z`` at each context; by default the group's own weights.

    Reports ``log_partition`` in nats and the ``effective_samples`` of each group's weights.

    Raises:
        UserError: when called, where the target rules a rollout out and the divergence is then
            infinite.
    """

    def __init__(
        self,
        target: EnergyModel,
        divergence: Divergence | None = None,
        partition: Partition | None = None,
    ) -> None:
        self.target = target
        self.divergence = ForwardKL() if divergence is None else divergence
        self.partition = GroupPartition() if partition is None else partition

    @property
    def minimum_samples(self) -> int:
        """What the partition function's estimate needs."""
        return self.partition.minimum_samples

    @property
    def bias(self) -> str | None:
        """What the partition function's estimate says."""
        return self.partition.bias

    @torch.no_grad()
    def __call__(self, rollouts: Rollouts, scores: Scores) -> EnergyTerms:
        """See :meth:`Energy.__call__`."""
        policy = torch.where(rollouts.token_mask(), scores.policy, 0).sum(-1)
        density = self.target.log_density(rollouts)
        log_weights = density - policy.to(density.dtype)
        log_partition = self.partition(log_weights)
        # A group without any weight has no partition function and says nothing.
        known = log_partition > -torch.inf
        ratio = torch.where(known, log_partition - log_weights, 0)
        if not self.divergence.bounded and not ratio.isfinite().all():
            raise UserError(
                f"the target rules out a completion that was drawn, and {_name(self.divergence)}"
                " is infinite there: use ForwardKL, JensenShannon or TotalVariation"
            )
        unary = torch.where(known, self.divergence.variation(ratio), 0)
        effective = estimate_partition(log_weights).effective_samples
        mean = torch.where(known, log_partition, 0).mean(-1)
        return EnergyTerms(unary, metrics={"log_partition": mean, "effective_samples": effective})


def _name(part: object) -> str:
    return type(part).__name__
