"""Whitening: the metric in which features are compared (Jelassi et al. 2026, eq. 8 and 9).

With ``Sigma`` a second moment of features, whitening maps ``phi`` to ``(Sigma^+)^(1/2) phi``.
Whose second moment it is, and on which side it is applied, makes the variants; docs/mathematics.md
says what each does to the estimator. None of them ever forms a feature x feature matrix where a
sample x sample one will do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from einops import repeat

from ebmlm.errors import UserError
from ebmlm.features.base import Features
from ebmlm.typing import BatchAnchor, BatchAnchorFeature, BatchAnchorSampleFeature

__all__ = ["NoWhitening", "Whitening", "per_sample", "references_of"]


class Whitening(ABC):
    """Answers one question: in which metric are features compared?"""

    @property
    def bias(self) -> str | None:
        """Why matching in this metric has a biased gradient; None where it has not."""
        return None

    def for_block(self, index: int) -> Whitening:
        """Return what whitens block ``index`` of the features; itself, unless it keeps a state.

        Layers that are matched apart (``Features.blocks``) have a second moment each.
        """
        return self

    @abstractmethod
    def __call__(
        self, features: Features, anchor_mask: BatchAnchor
    ) -> tuple[BatchAnchorSampleFeature, BatchAnchorSampleFeature]:
        """Return whitened rollouts and references, both (batch, anchor, sample, feature).

        A reference is repeated for each sample, since a variant may map it differently for each.

        Args:
            features: with references.
            anchor_mask: (batch, anchor) which anchors may contribute to a common moment.
        """


def references_of(features: Features) -> BatchAnchorFeature:
    """Return the references' features.

    Raises:
        UserError: where there are none.
    """
    if features.references is None:
        raise UserError("these features have no references: matching needs a real continuation")
    return features.references


def per_sample(references: BatchAnchorFeature, samples: int) -> BatchAnchorSampleFeature:
    """Repeat references (batch, anchor, feature) for each sample."""
    return repeat(references, "batch anchor feature -> batch anchor sample feature", sample=samples)


class NoWhitening(Whitening):
    """Features as they are."""

    def __call__(
        self, features: Features, anchor_mask: BatchAnchor
    ) -> tuple[BatchAnchorSampleFeature, BatchAnchorSampleFeature]:
        """See :meth:`Whitening.__call__`."""
        references = references_of(features)
        return features.rollouts, per_sample(references, features.rollouts.shape[2])
