"""Kernels of vectors: how alike are two feature vectors?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor

from ebmlm.errors import UserError
from ebmlm.kernels.base import check_factor
from ebmlm.typing import RowFeature

__all__ = ["ScaledVectorKernel", "SumVectorKernel", "VectorKernel"]


class VectorKernel(ABC):
    """Answers one question: how alike are two feature vectors?

    Symmetric and positive semi-definite. Kernels add, and scale by what is not negative:
    ``Gaussian(1) + 0.5 * Gaussian(2)``.
    """

    @abstractmethod
    def __call__(self, left: Tensor, right: Tensor) -> Tensor:
        """Return the kernel (..., left, right) between vectors of two sets.

        Args:
            left: (..., left, feature).
            right: (..., right, feature).
        """

    def fitted(self, references: RowFeature) -> VectorKernel:
        """Return the kernel with what it takes from data filled in; itself where that is nothing.

        Args:
            references: (row, feature) of the real continuations of a batch. They do not depend on
                the policy, so neither does the kernel.
        """
        return self

    def __add__(self, other: VectorKernel) -> VectorKernel:
        return SumVectorKernel([self, other])

    def __mul__(self, factor: float) -> VectorKernel:
        return ScaledVectorKernel(self, factor)

    __rmul__ = __mul__


class SumVectorKernel(VectorKernel):
    """The sum of kernels of vectors; sums of sums are flat.

    Raises:
        UserError: for no kernel.
    """

    def __init__(self, kernels: Sequence[VectorKernel]) -> None:
        self.kernels: tuple[VectorKernel, ...] = tuple(
            part
            for kernel in kernels
            for part in (kernel.kernels if isinstance(kernel, SumVectorKernel) else (kernel,))
        )
        if not self.kernels:
            raise UserError("a sum of no kernels: give at least one")

    def __call__(self, left: Tensor, right: Tensor) -> Tensor:
        """See :meth:`VectorKernel.__call__`."""
        total = self.kernels[0](left, right)
        for kernel in self.kernels[1:]:
            total = total + kernel(left, right)
        return total

    def fitted(self, references: RowFeature) -> VectorKernel:
        """See :meth:`VectorKernel.fitted`."""
        return SumVectorKernel([kernel.fitted(references) for kernel in self.kernels])


class ScaledVectorKernel(VectorKernel):
    """A kernel of vectors times a number; multiples of multiples are flat.

    Raises:
        UserError: for a factor that is negative or not finite.
    """

    def __init__(self, kernel: VectorKernel, factor: float) -> None:
        check_factor(factor)
        inner = kernel if isinstance(kernel, ScaledVectorKernel) else None
        self.kernel: VectorKernel = kernel if inner is None else inner.kernel
        self.factor: float = factor if inner is None else factor * inner.factor

    def __call__(self, left: Tensor, right: Tensor) -> Tensor:
        """See :meth:`VectorKernel.__call__`."""
        return self.factor * self.kernel(left, right)

    def fitted(self, references: RowFeature) -> VectorKernel:
        """See :meth:`VectorKernel.fitted`."""
        return ScaledVectorKernel(self.kernel.fitted(references), self.factor)
