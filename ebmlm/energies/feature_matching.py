"""Feature matching: the first variation of the distance between feature moments.

Jelassi et al. 2026, eq. 1, 2 and 7; docs/mathematics.md, eq. 1 to 4.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ebmlm.energies.base import Energy, EnergyTerms
from ebmlm.errors import UserError
from ebmlm.features.base import FeatureMap, Features
from ebmlm.features.whitening import NoWhitening, Whitening
from ebmlm.rollouts import Rollouts, Scores
from ebmlm.typing import BatchAnchor

__all__ = [
    "FeatureMatchingEnergy",
    "Similarity",
    "cosine",
    "feature_matching_loss",
    "feature_matching_terms",
    "inner_product",
]

Similarity = Callable[[Tensor, Tensor], Tensor]


def inner_product(left: Tensor, right: Tensor) -> Tensor:
    """Inner product over the last axis: the alignment whose energy is an exact first variation."""
    return torch.einsum("... f, ... f -> ...", left, right)


def cosine(left: Tensor, right: Tensor) -> Tensor:
    """Cosine over the last axis, zero for a zero vector: the alignment of published EBFT runs."""
    lengths = left.norm(dim=-1) * right.norm(dim=-1)
    inner = inner_product(left, right)
    return torch.where(lengths > 0, inner / lengths.clamp(min=torch.finfo(inner.dtype).tiny), 0)


def feature_matching_terms(
    features: Features,
    anchor_mask: BatchAnchor,
    *,
    alignment: float = 1.0,
    diversity: float = 1.0,
    whitening: Whitening | None = None,
    similarity: Similarity = inner_product,
) -> EnergyTerms:
    """Return the feature-matching terms of given features; see :class:`FeatureMatchingEnergy`."""
    whitening = NoWhitening() if whitening is None else whitening
    blocks = features.split()
    unary, pairwise = torch.zeros(()), torch.zeros(())
    # Networks may compute in lower precision: the products of their features, of which small
    # differences count, may not.
    with torch.autocast(features.rollouts.device.type, enabled=False):
        for index, block in enumerate(blocks):
            rollouts, references = whitening.for_block(index)(block, anchor_mask)
            unary = unary.to(rollouts) + similarity(rollouts, references) / len(blocks)
            products = torch.einsum("b k n f, b k m f -> b k n m", rollouts, rollouts)
            pairwise = pairwise.to(rollouts) + products / len(blocks)
    samples = pairwise.shape[-1]
    others = ~torch.eye(samples, dtype=torch.bool, device=pairwise.device)
    pairwise = torch.where(others, pairwise, 0)
    aligned, diverse = 2 * unary, 2 * pairwise.sum(-1) / max(samples - 1, 1)
    metrics = {"alignment": aligned.mean(-1), "diversity": diverse.mean(-1)}
    pairs = 2 * diversity * pairwise if diversity else None
    return EnergyTerms(-alignment * aligned, pairs, metrics)


def feature_matching_loss(features: Features, terms: EnergyTerms) -> BatchAnchor:
    """Return the unbiased estimate (batch, anchor) of ``|| E_p[phi] - phi* ||^2``.

    The functional of the terms leaves out ``|| phi* ||^2``, which no policy can change; here it
    counts. Blocks are averaged (docs/mathematics.md, eq. 2 and 5).

    Args:
        features: of rollouts and references.
        terms: their feature-matching terms, with plain inner products and coefficients of one.

    Raises:
        UserError: for features without references.
    """
    if features.references is None:
        raise UserError("a feature-matching loss compares with references, and there are none")
    return terms.functional() + features.references.square().sum(-1) / len(features.blocks)


class FeatureMatchingEnergy(Energy):
    """How far the rollouts' features are from the real continuation's, and how alike each other.

    ``e_j = -2 a phi_j.phi* + 2 d/(N-1) sum_{k != j} phi_j.phi_k`` with alignment coefficient a and
    diversity coefficient d. With a = d = 1, plain inner products and no per-group whitening it is
    the first variation of ``E || E_p[phi] - phi* ||^2``, and its policy gradient is exact.

    Args:
        features: what is matched.
        alignment: coefficient of the alignment with the real continuation.
        diversity: coefficient of the rollouts' likeness to each other; the paper takes 0.5 or 1.
        whitening: the metric; none by default.
        similarity: :func:`inner_product`, or :func:`cosine` as in published runs with whitening.

    Reports ``alignment`` (2 phi_j.phi*) and ``diversity`` (2 phi_j.phi_k, the mean over pairs), as
    means over samples, without their coefficients.

    Raises:
        UserError: for a negative or not finite coefficient; when called, for features without
            references.
    """

    def __init__(
        self,
        features: FeatureMap,
        alignment: float = 1.0,
        diversity: float = 1.0,
        whitening: Whitening | None = None,
        similarity: Similarity = inner_product,
    ) -> None:
        for name, value in (("alignment", alignment), ("diversity", diversity)):
            if not 0 <= value < float("inf"):
                raise UserError(f"{name} is {value}: the coefficient must be finite and at least 0")
        self.features = features
        self.alignment = alignment
        self.diversity = diversity
        self.whitening = NoWhitening() if whitening is None else whitening
        self.similarity = similarity

    @property
    def minimum_samples(self) -> int:
        """Two, unless the diversity coefficient is zero."""
        return 2 if self.diversity else 1

    @property
    def bias(self) -> str | None:
        """What the whitening says."""
        return self.whitening.bias

    @torch.no_grad()
    def __call__(self, rollouts: Rollouts, scores: Scores) -> EnergyTerms:
        """See :meth:`Energy.__call__`."""
        return feature_matching_terms(
            self.features(rollouts),
            rollouts.anchor_mask,
            alignment=self.alignment,
            diversity=self.diversity,
            whitening=self.whitening,
            similarity=self.similarity,
        )
