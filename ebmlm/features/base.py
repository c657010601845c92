"""The feature map: what do we see in a sequence?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from ebmlm.rollouts import Rollouts
from ebmlm.typing import BatchAnchorFeature, BatchAnchorSampleFeature

__all__ = ["FeatureMap", "Features"]


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
    neighbours in the batch, or on the other samples. It carries no gradient.
    """

    @abstractmethod
    def __call__(self, rollouts: Rollouts) -> Features:
        """Return the features of the rollouts, and of the references where there are any."""
