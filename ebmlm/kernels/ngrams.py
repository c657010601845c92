"""How many n-grams of tokens two continuations share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ebmlm.kernels.base import Kernel, KernelValues
from ebmlm.kernels.strings import checked_weights, string_kernel
from ebmlm.rollouts import Rollouts

__all__ = ["NGramKernel"]


class NGramKernel(Kernel):
    """``sum_n weight_n sum_g count_x(g) count_y(g)`` over n-grams g of tokens.

    The spectrum kernel (Leslie, Eskin and Noble 2002), blended over n: the inner product of the
    two vectors of all counts. Counted exactly, as pairs of places at which equal n-grams stand. An
    n-gram lies within the continuation, its end token included; none reaches into the context.

    ``NormalisedKernel(NGramKernel([1, 1]))`` is the cosine of the counts of tokens and bigrams.

    Args:
        weights: of single tokens, bigrams, trigrams and so on: ``[0, 1]`` is bigrams alone.

    Raises:
        UserError: for no weight above 0, or one that is negative or not finite.
    """

    def __init__(self, weights: Sequence[float] = (1.0, 1.0)) -> None:
        self.weights = checked_weights(weights)

    @torch.no_grad()
    def __call__(self, rollouts: Rollouts) -> KernelValues:
        """See :meth:`Kernel.__call__`; float64."""
        return string_kernel(rollouts, self._likeness)

    def _likeness(self, equal: Tensor) -> Tensor:
        # Where equal n-grams begin: equal tokens, and equal (n - 1)-grams one place on.
        begins, total = equal, equal.new_zeros(equal.shape[:-2], dtype=torch.float64)
        for order, weight in enumerate(self.weights, start=1):
            if order > equal.shape[-1]:
                break
            if order > 1:
                begins = begins[..., :-1, :-1] & equal[..., order - 1 :, order - 1 :]
            if weight:
                total = total + weight * begins.sum((-1, -2))
        return total
