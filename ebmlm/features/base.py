"""The feature map: what do we see in a sequence?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ebmlm.rollouts import Rollouts
from ebmlm.typing import BatchAnchorFeature, BatchAnchorSampleFeature

__all__ = ["FeatureMap", "Features", "mapped"]


@dataclass(frozen=True, eq=False)
class Features:
    """Feature vectors of rollouts and of the real continuations they compare to.

    Attributes:
        rollouts: (batch, anchor, sample, feature), zero at invalid anchors.
        references: (batch, anchor, feature), or None where there is no real continuation.
        blocks: widths of the parts of the feature axis that are matched each on its own (layers
            kept apart); one block where the vector is matched as a whole.
    """

    rollouts: BatchAnchorSampleFeature
    references: BatchAnchorFeature | None
    blocks: tuple[int, ...]

    def split(self) -> tuple[Features, ...]:
        """Return one ``Features`` per block."""
        rollouts = self.rollouts.split(self.blocks, dim=-1)
        if self.references is None:
            return tuple(
                Features(part, None, (width,))
                for part, width in zip(rollouts, self.blocks, strict=True)
            )
        references = self.references.split(self.blocks, dim=-1)
        return tuple(
            Features(part, reference, (width,))
            for part, reference, width in zip(rollouts, references, self.blocks, strict=True)
        )


class FeatureMap(ABC):
    """Answers one question: what do we see in a sequence?

    A feature of a rollout depends on its own context and tokens only: not on padding, on its
    neighbours in the batch, or on the other samples. It carries no gradient, and is zero at
    invalid anchors.

    Feature maps scale and concatenate: ``0.5 * hidden | ngrams``, under which inner products add
    (:mod:`ebmlm.features.algebra`).
    """

    @property
    def blocks(self) -> tuple[int, ...] | None:
        """Widths of its blocks, where they are known before the first call; None where not."""
        return None

    @property
    def width(self) -> int | None:
        """Features, D, where they are known before the first call; None where not."""
        return None if self.blocks is None else sum(self.blocks)

    @abstractmethod
    def __call__(self, rollouts: Rollouts) -> Features:
        """Return the features of the rollouts, and of the references where there are any."""

    def __or__(self, other: FeatureMap) -> FeatureMap:
        from ebmlm.features.algebra import Concatenated

        return Concatenated([self, other])

    def __mul__(self, factor: float) -> FeatureMap:
        from ebmlm.features.algebra import Scaled

        return Scaled(self, factor)

    __rmul__ = __mul__


def mapped(
    features: Features, function: Callable[[Tensor], Tensor], blocks: tuple[int, ...] | None = None
) -> Features:
    """Apply ``function`` to the vectors (..., feature) of rollouts and references.

    Args:
        features: of which.
        function: keeps a zero vector zero.
        blocks: of the result; those of ``features`` unless given.
    """
    references = None if features.references is None else function(features.references)
    return Features(function(features.rollouts), references, blocks or features.blocks)
