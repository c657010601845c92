"""A kernel of feature vectors as a kernel of continuations."""

from __future__ import annotations

import torch

from ebmlm.features.base import FeatureMap, Features
from ebmlm.features.whitening import NoWhitening, Whitening
from ebmlm.kernels.base import Kernel, KernelValues
from ebmlm.kernels.vectors import VectorKernel
from ebmlm.rollouts import Rollouts
from ebmlm.typing import BatchAnchor

__all__ = ["FeatureKernel"]


class FeatureKernel(Kernel):
    """Continuations are as alike as their feature vectors: ``k(x, y) = function(phi_x, phi_y)``.

    Where the feature map keeps blocks (layers) apart, the kernel is the mean over blocks, and what
    the function takes from data it takes from each block.

    Args:
        features: what is compared.
        function: the kernel of vectors, fitted to the references of every batch it is called with.
        whitening: the metric; none by default.

    Raises:
        UserError: when called, for features without references.
    """

    def __init__(
        self, features: FeatureMap, function: VectorKernel, whitening: Whitening | None = None
    ) -> None:
        self.features = features
        self.function = function
        self.whitening = NoWhitening() if whitening is None else whitening

    @property
    def bias(self) -> str | None:
        """What the whitening says."""
        return self.whitening.bias

    @torch.no_grad()
    def __call__(self, rollouts: Rollouts) -> KernelValues:
        """See :meth:`Kernel.__call__`; in the features' precision, inside autocast too."""
        blocks = self.features(rollouts).split()
        # Networks may compute in lower precision: the differences of their features may not.
        with torch.autocast(rollouts.anchors.device.type, enabled=False):
            values = [
                self._of_block(index, block, rollouts.anchor_mask)
                for index, block in enumerate(blocks)
            ]
        total = values[0]
        for value in values[1:]:
            total = total + value
        return total * (1 / len(blocks))

    def _of_block(self, index: int, block: Features, anchor_mask: BatchAnchor) -> KernelValues:
        sampled, real = self.whitening.for_block(index)(block, anchor_mask)
        # A whitening may map the reference differently for each sample: the mean of the copies,
        # which mostly are the same, treats samples alike.
        function = self.function.fitted(real.mean(2)[anchor_mask])
        each = real.unsqueeze(-2)
        return KernelValues(
            pairs=function(sampled, sampled),
            references=function(sampled.unsqueeze(-2), each)[..., 0, 0],
            own=function(each, each)[..., 0, 0].mean(-1),
        )
