"""Energies that judge wrongly."""

from __future__ import annotations

import torch

from ebmlm.energies.base import Energy, EnergyTerms
from ebmlm.energies.feature_matching import FeatureMatchingEnergy
from ebmlm.energies.kernel_matching import kernel_matching_terms
from ebmlm.energies.kl import k3
from ebmlm.features.group_whitening import FeatureSpaceWhitening
from ebmlm.features.hidden_states import HiddenStateFeatures
from ebmlm.kernels.base import KernelValues
from ebmlm.kernels.distances import euclidean
from ebmlm.rollouts import Rollouts, Scores
from ebmlm.testing.bugs.bug import Bug
from ebmlm.testing.laws.energy import (
    first_variation,
    padding_moves_no_energy,
    pairs_are_symmetric,
    permuting_samples_permutes_terms,
)
from ebmlm.testing.tabular import TabularLanguageModel

__all__ = [
    "ENERGY_BUGS",
    "BandwidthOfRollouts",
    "FirstCopyIsFree",
    "K3AsReward",
    "PaddingByToken",
    "SelfLikeness",
    "SilentWhitening",
]


class PaddingByToken(Energy):
    """Takes every token 0 for padding, and every other token for text."""

    @torch.no_grad()
    def __call__(self, rollouts: Rollouts, scores: Scores) -> EnergyTerms:
        """See :meth:`Energy.__call__`; a rollout's length."""
        return EnergyTerms((rollouts.completions != 0).sum(-1).double())


class SelfLikeness(Energy):
    """Counts a rollout's likeness to itself among its likenesses to its siblings."""

    @property
    def minimum_samples(self) -> int:
        """Two."""
        return 2

    @torch.no_grad()
    def __call__(self, rollouts: Rollouts, scores: Scores) -> EnergyTerms:
        """See :meth:`Energy.__call__`; the share of tokens that agree."""
        tokens, mask = rollouts.completions, rollouts.token_mask()
        same = (tokens.unsqueeze(2) == tokens.unsqueeze(3)) & mask.unsqueeze(2) & mask.unsqueeze(3)
        alike = same.double().mean(-1)
        return EnergyTerms(torch.zeros_like(alike[..., 0]), alike)


class FirstCopyIsFree(Energy):
    """Punishes copies of earlier samples, and never the first: the order of samples counts."""

    @torch.no_grad()
    def __call__(self, rollouts: Rollouts, scores: Scores) -> EnergyTerms:
        """See :meth:`Energy.__call__`."""
        tokens = torch.where(rollouts.token_mask(), rollouts.completions, -1)
        same = (tokens.unsqueeze(2) == tokens.unsqueeze(3)).all(-1)
        return EnergyTerms(same.tril(-1).any(-1).double())


class K3AsReward(Energy):
    """Takes the low-variance KL estimate k3 for the energy whose gradient is that of KL."""

    @property
    def needs_reference(self) -> bool:
        """Always."""
        return True

    @torch.no_grad()
    def __call__(self, rollouts: Rollouts, scores: Scores) -> EnergyTerms:
        """See :meth:`Energy.__call__`."""
        assert scores.reference is not None
        gap = torch.where(rollouts.token_mask(), scores.policy - scores.reference, 0)
        return EnergyTerms(k3(gap.sum(-1)))


class SilentWhitening(FeatureMatchingEnergy):
    """Whitens each group by itself, and declares no bias."""

    def __init__(self) -> None:
        table = TabularLanguageModel(3, 3, hidden=3, generator=torch.Generator().manual_seed(0))
        super().__init__(HiddenStateFeatures(table.frozen()), whitening=FeatureSpaceWhitening())

    @property
    def bias(self) -> str | None:
        """None is declared."""
        return None


class BandwidthOfRollouts(Energy):
    """Compares rollouts by a kernel whose bandwidth is how far apart these rollouts are."""

    def __init__(self) -> None:
        table = TabularLanguageModel(3, 3, hidden=3, generator=torch.Generator().manual_seed(0))
        self.features = HiddenStateFeatures(table.frozen())

    @property
    def minimum_samples(self) -> int:
        """Two."""
        return 2

    @torch.no_grad()
    def __call__(self, rollouts: Rollouts, scores: Scores) -> EnergyTerms:
        """See :meth:`Energy.__call__`."""
        found = self.features(rollouts)
        assert found.references is not None
        real = found.references.unsqueeze(2)
        within = euclidean(found.rollouts, found.rollouts)
        width = within.mean((-1, -2), keepdim=True)
        width = torch.where(width > 0, width, 1)
        gram, aligned = (
            torch.exp(-0.5 * (distance / width).square())
            for distance in (within, euclidean(found.rollouts, real))
        )
        own = gram.diagonal(dim1=-2, dim2=-1)[..., 0]
        return kernel_matching_terms(KernelValues(gram, aligned.squeeze(-1), own))


ENERGY_BUGS = (
    Bug("padding inferred from token values", PaddingByToken, padding_moves_no_energy),
    Bug("likeness to itself", SelfLikeness, pairs_are_symmetric),
    Bug("order of samples", FirstCopyIsFree, permuting_samples_permutes_terms),
    Bug("k3 as reward", K3AsReward, first_variation),
    Bug("undeclared whitening of groups", SilentWhitening, first_variation),
    Bug("bandwidth from the rollouts", BandwidthOfRollouts, first_variation),
)
"""Every wrong energy."""
