"""Which tokens two continuations have in the same order, with gaps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ebmlm.errors import UserError
from ebmlm.kernels.base import Kernel, KernelValues
from ebmlm.kernels.strings import checked_weights, string_kernel
from ebmlm.rollouts import Rollouts

__all__ = ["SubsequenceKernel"]


class SubsequenceKernel(Kernel):
    """``sum_n weight_n sum_u sum_{i: x_i = u} sum_{j: y_j = u} decay^(span_i + span_j)``.

    The string subsequence kernel (Lodhi et al. 2002, section 3), blended over the length n: u runs
    over strings of n tokens, i and j over the places in x and y at which u stands in order, gaps
    allowed, and a span is the number of tokens from the first place to the last. So a word that
    is put in or left out costs a little, where it would break every n-gram that it stands in.

    Args:
        decay: in (0, 1], what each token of a span multiplies by.
        weights: of subsequences of one token, of two and so on.

    Raises:
        UserError: for a decay outside (0, 1]; for no weight above 0, or one that is negative or
            not finite.
    """

    def __init__(self, decay: float = 0.5, weights: Sequence[float] = (1.0, 1.0)) -> None:
        if not 0 < decay <= 1:
            raise UserError(f"decay is {decay}: it must be above 0 and at most 1")
        self.decay = decay
        self.weights = checked_weights(weights)

    @torch.no_grad()
    def __call__(self, rollouts: Rollouts) -> KernelValues:
        """See :meth:`Kernel.__call__`; float64."""
        return string_kernel(rollouts, self._likeness)

    def _likeness(self, equal: Tensor) -> Tensor:
        """By where subsequences end.

        Those of n tokens that end at places (g, h) continue those of n - 1 tokens that end before
        both, and add decay for each token up to there: two matrix products, where Lodhi et al. have
        a recursion.
        """
        last = torch.arange(equal.shape[-1], device=equal.device)
        gap = last.unsqueeze(-1) - last
        step = torch.where(gap > 0, self.decay ** gap.clamp(min=0).double(), 0)
        ends = self.decay**2 * equal.double()
        total = ends.new_zeros(ends.shape[:-2])
        for order, weight in enumerate(self.weights, start=1):
            if order > equal.shape[-1]:
                break
            if order > 1:
                ends = equal * (step @ ends @ step.mT)
            total = total + weight * ends.sum((-1, -2))
        return total
