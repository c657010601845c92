"""A kernel as a cosine."""

from __future__ import annotations

import torch

from ebmlm.kernels.base import Kernel, KernelValues
from ebmlm.rollouts import Rollouts

__all__ = ["NormalisedKernel"]


class NormalisedKernel(Kernel):
    """``k(x, y) / sqrt(k(x, x) k(y, y))``: every continuation is as like itself as any other.

    A continuation in which the kernel sees nothing, ``k(y, y) = 0``, is like none, itself included.

    Args:
        kernel: what is normalised.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    @property
    def bias(self) -> str | None:
        """What the normalised kernel says."""
        return self.kernel.bias

    @torch.no_grad()
    def __call__(self, rollouts: Rollouts) -> KernelValues:
        """See :meth:`Kernel.__call__`."""
        gram = self.kernel(rollouts).gram()
        own = gram.diagonal(dim1=-2, dim2=-1)
        lengths = (own.unsqueeze(-1) * own.unsqueeze(-2)).sqrt()
        return KernelValues.of_gram(torch.where(lengths > 0, gram / lengths, 0))
