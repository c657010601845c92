"""f-divergences of a policy from a target, and their first variations.

``D_f(p | t) = sum_y t(y) f(p(y) / t(y))`` changes with ``p(y)`` by ``f'(p(y) / t(y))`` (Csiszar
1967; Go et al. 2023; docs/mathematics.md, "Towards a target"). So ``f'`` of the ratio is an energy,
and its policy gradient that of the divergence.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

__all__ = ["Divergence", "ForwardKL", "JensenShannon", "ReverseKL", "TotalVariation"]


class Divergence(ABC):
    """Answers one question: how much worse does it get where the policy says more than the target?

    Attributes:
        bounded: whether the first variation is finite where the target has no probability.
    """

    bounded: bool = True

    @abstractmethod
    def value(self, log_ratio: Tensor) -> Tensor:
        """``f(r)`` of ``log r = log p - log t``, in nats."""

    @abstractmethod
    def variation(self, log_ratio: Tensor) -> Tensor:
        """``f'(r)`` of ``log r``, in nats; of plus infinity, where the target has nothing."""


class ForwardKL(Divergence):
    """KL(target | policy): covers the target; the gradient of DPG (Parshakova et al. 2019)."""

    def value(self, log_ratio: Tensor) -> Tensor:
        """See :meth:`Divergence.value`: ``-log r``."""
        return -log_ratio

    def variation(self, log_ratio: Tensor) -> Tensor:
        """See :meth:`Divergence.variation`: ``-1/r``."""
        return -(-log_ratio).exp()


class ReverseKL(Divergence):
    """KL(policy | target): KL-regularised reward maximisation (Korbak et al. 2022)."""

    bounded = False

    def value(self, log_ratio: Tensor) -> Tensor:
        """See :meth:`Divergence.value`: ``r log r``."""
        return log_ratio.exp() * log_ratio

    def variation(self, log_ratio: Tensor) -> Tensor:
        """See :meth:`Divergence.variation`: ``log r + 1``."""
        return log_ratio + 1


class JensenShannon(Divergence):
    """The mean KL of the two from their equal mixture (Lin 1991)."""

    def value(self, log_ratio: Tensor) -> Tensor:
        """See :meth:`Divergence.value`: ``(r log(r/m) - log m) / 2`` with ``m = (r + 1) / 2``."""
        log_mixed = torch.nn.functional.softplus(log_ratio) - _LOG_TWO
        return (log_ratio.exp() * (log_ratio - log_mixed) - log_mixed) / 2

    def variation(self, log_ratio: Tensor) -> Tensor:
        """See :meth:`Divergence.variation`: ``log(2r / (r + 1)) / 2``."""
        return (torch.nn.functional.logsigmoid(log_ratio) + _LOG_TWO) / 2


class TotalVariation(Divergence):
    """Half the summed absolute difference."""

    def value(self, log_ratio: Tensor) -> Tensor:
        """See :meth:`Divergence.value`: ``|r - 1| / 2``."""
        return (log_ratio.exp() - 1).abs() / 2

    def variation(self, log_ratio: Tensor) -> Tensor:
        """See :meth:`Divergence.variation`: ``sign(r - 1) / 2``."""
        return log_ratio.sign() / 2


_LOG_TWO = 0.6931471805599453
