"""The kernel: how alike are two continuations of a context?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ebmlm.errors import UserError
from ebmlm.rollouts import Rollouts
from ebmlm.typing import BatchAnchor, BatchAnchorSample, BatchAnchorSampleSample

__all__ = ["Kernel", "KernelValues", "ScaledKernel", "SumKernel", "check_factor"]


@dataclass(frozen=True, eq=False)
class KernelValues:
    """A kernel between the rollouts of each anchor and their real continuation.

    Attributes:
        pairs: (batch, anchor, sample, sample), symmetric, ``k(y_j, y_j)`` on the diagonal.
        references: (batch, anchor, sample), ``k(y_j, y*)`` with the real continuation y*.
        own: (batch, anchor), ``k(y*, y*)``.
    """

    pairs: BatchAnchorSampleSample
    references: BatchAnchorSample
    own: BatchAnchor

    @classmethod
    def of_gram(cls, gram: Tensor) -> KernelValues:
        """Cut a Gram matrix (batch, anchor, sample + 1, sample + 1), the reference being last."""
        return cls(gram[..., :-1, :-1], gram[..., :-1, -1], gram[..., -1, -1])

    def gram(self) -> Tensor:
        """Gram matrix (batch, anchor, sample + 1, sample + 1), the reference last."""
        beside = torch.cat([self.pairs, self.references.unsqueeze(-1)], -1)
        below = torch.cat([self.references, self.own.unsqueeze(-1)], -1)
        return torch.cat([beside, below.unsqueeze(-2)], -2)

    def __add__(self, other: KernelValues) -> KernelValues:
        return KernelValues(
            self.pairs + other.pairs, self.references + other.references, self.own + other.own
        )

    def __mul__(self, factor: float) -> KernelValues:
        return KernelValues(self.pairs * factor, self.references * factor, self.own * factor)

    __rmul__ = __mul__


class Kernel(ABC):
    """Answers one question: how alike are two continuations of a context?

    A kernel is symmetric and positive semi-definite: ``k(x, y)`` is the inner product of what x and
    y are in some feature space (Aronszajn 1950). Kernels add, and scale by what is not negative:
    ``words + 0.5 * meanings``. A kernel looks at real tokens at valid anchors only, and treats the
    samples of an anchor alike.
    """

    @property
    def bias(self) -> str | None:
        """Why matching under it has a biased gradient; None where it has not."""
        return None

    @abstractmethod
    def __call__(self, rollouts: Rollouts) -> KernelValues:
        """Return the kernel between all continuations of each anchor, without gradient."""

    def __add__(self, other: Kernel) -> Kernel:
        return SumKernel([self, other])

    def __mul__(self, factor: float) -> Kernel:
        return ScaledKernel(self, factor)

    __rmul__ = __mul__


class SumKernel(Kernel):
    """The sum of kernels, whose features stand side by side; sums of sums are flat.

    Raises:
        UserError: for no kernel.
    """

    def __init__(self, kernels: Sequence[Kernel]) -> None:
        self.kernels: tuple[Kernel, ...] = tuple(
            part
            for kernel in kernels
            for part in (kernel.kernels if isinstance(kernel, SumKernel) else (kernel,))
        )
        if not self.kernels:
            raise UserError("a sum of no kernels: give at least one")

    @property
    def bias(self) -> str | None:
        """What its parts say, each reason once."""
        return "; ".join(dict.fromkeys(part.bias for part in self.kernels if part.bias)) or None

    def __call__(self, rollouts: Rollouts) -> KernelValues:
        """See :meth:`Kernel.__call__`."""
        total = self.kernels[0](rollouts)
        for kernel in self.kernels[1:]:
            total = total + kernel(rollouts)
        return total


class ScaledKernel(Kernel):
    """A kernel times a number; multiples of multiples are flat.

    Raises:
        UserError: for a factor that is negative or not finite.
    """

    def __init__(self, kernel: Kernel, factor: float) -> None:
        check_factor(factor)
        inner = kernel if isinstance(kernel, ScaledKernel) else None
        self.kernel: Kernel = kernel if inner is None else inner.kernel
        self.factor: float = factor if inner is None else factor * inner.factor

    @property
    def bias(self) -> str | None:
        """What the scaled kernel says."""
        return self.kernel.bias

    def __call__(self, rollouts: Rollouts) -> KernelValues:
        """See :meth:`Kernel.__call__`."""
        return self.factor * self.kernel(rollouts)


def check_factor(factor: float) -> None:
    """Refuse multiples that are no kernels.

    Raises:
        UserError: for a factor that is negative or not finite.
    """
    if not 0 <= factor < float("inf"):
        raise UserError(
            f"a kernel times {factor}: only a factor that is finite and at least 0 gives a kernel"
        )
