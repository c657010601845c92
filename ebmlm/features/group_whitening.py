"""Whitening by each anchor's own rollouts (Jelassi et al. 2026, eq. 8 and 9).

N rollouts span N dimensions at most, so everything goes through their N x N Gram matrix: no
feature x feature matrix is formed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ebmlm.features.base import Features
from ebmlm.features.whitening import Whitening, per_sample, references_of
from ebmlm.typing import BatchAnchor, BatchAnchorSampleFeature

__all__ = ["FeatureSpaceWhitening", "SampleSpaceWhitening"]

# Singular values under this share of the largest count as zero.
_RANK = 1e-5

_OWN_ROLLOUTS = "whitened by a map that is made of the very rollouts it is applied to"


def _inverse_powers(symmetric: Tensor, powers: tuple[float, ...]) -> list[Tensor]:
    """Pseudo-inverse powers of positive semi-definite matrices, in float64.

    ``_RANK`` is a ratio of singular values; the eigenvalues here are their squares.
    """
    values, vectors = torch.linalg.eigh(symmetric.double())
    largest = values[..., -1:].clamp(min=torch.finfo(torch.float64).tiny)
    kept = values > _RANK**2 * largest
    safe = torch.where(kept, values, 1.0)
    return [
        (vectors * torch.where(kept, safe**-power, 0.0).unsqueeze(-2)) @ vectors.mT
        for power in powers
    ]


class FeatureSpaceWhitening(Whitening):
    """The paper's formula: ``Sigma = 1/N sum_j phi_j phi_j^T`` of each anchor's own rollouts.

    The same linear map is applied to rollouts and reference. It depends on the rollouts it is
    applied to, so the policy gradient is biased; and N distinct rollouts come out orthogonal with
    squared length N, so the diversity term only tells duplicates apart.
    """

    @property
    def bias(self) -> str | None:
        """Always."""
        return _OWN_ROLLOUTS

    def __call__(
        self, features: Features, anchor_mask: BatchAnchor
    ) -> tuple[BatchAnchorSampleFeature, BatchAnchorSampleFeature]:
        """See :meth:`Whitening.__call__`.

        With X the N rollouts as rows and G = X X^T, ``(Sigma^+)^(1/2) = sqrt(N) X^T G^(-3/2) X``,
        so rollouts become ``sqrt(N) G^(-1/2) X`` and a reference ``sqrt(N) X^T G^(-3/2) X r``.
        """
        rollouts = features.rollouts.double()
        references = references_of(features).double()
        samples = rollouts.shape[2]
        half, three_halves = _inverse_powers(rollouts @ rollouts.mT, (0.5, 1.5))
        root = samples**0.5
        whitened = root * half @ rollouts
        # A vector of no length has none afterwards either: what rounding leaves of it would have a
        # direction, and a cosine.
        whitened = torch.where(rollouts.any(-1, keepdim=True), whitened, 0)
        projected = three_halves @ (rollouts @ references.unsqueeze(-1))
        reference = root * (rollouts.mT @ projected).squeeze(-1)
        dtype = features.rollouts.dtype
        return whitened.to(dtype), per_sample(reference, samples).to(dtype)


class SampleSpaceWhitening(Whitening):
    """What the reference implementation computes: ``(X X^T)^(-1/2)`` of each anchor's rollouts.

    Applied from the left to the rollouts X (equal to :class:`FeatureSpaceWhitening` up to the
    factor sqrt(N)) and to N copies of the reference, which scales the raw reference by one number
    per sample. Needed to reproduce published numbers.
    """

    @property
    def bias(self) -> str | None:
        """Always."""
        return _OWN_ROLLOUTS

    def __call__(
        self, features: Features, anchor_mask: BatchAnchor
    ) -> tuple[BatchAnchorSampleFeature, BatchAnchorSampleFeature]:
        """See :meth:`Whitening.__call__`."""
        rollouts = features.rollouts.double()
        copies = per_sample(references_of(features).double(), rollouts.shape[2])
        (half,) = _inverse_powers(rollouts @ rollouts.mT, (0.5,))
        dtype = features.rollouts.dtype
        return (half @ rollouts).to(dtype), (half @ copies).to(dtype)
