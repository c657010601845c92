"""Kernels of vectors that look at their distance.

Each is the Fourier transform of a probability density of frequencies (Bochner's theorem; Rahimi
and Recht 2007, "Random features for large-scale kernel machines", figure 1), which proves that it
is positive semi-definite, and characteristic: only the data's own distribution of features has
discrepancy zero (Sriperumbudur et al. 2010).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ebmlm.kernels.bandwidth import Bandwidth, check_positive, fit_bandwidth
from ebmlm.kernels.vectors import VectorKernel
from ebmlm.typing import RowFeature

__all__ = ["Gaussian", "Laplace", "RationalQuadratic", "city_block", "euclidean"]


def euclidean(left: Tensor, right: Tensor) -> Tensor:
    """Distances (..., left, right) of vectors: the root of the sum of squared differences.

    From the differences themselves. Lengths less inner products are faster, and lose half the
    digits for vectors that are close together, as the features of rollouts are.
    """
    return torch.cdist(left, right, compute_mode="donot_use_mm_for_euclid_dist")


def city_block(left: Tensor, right: Tensor) -> Tensor:
    """Distances (..., left, right) of vectors: the sum of absolute differences."""
    return torch.cdist(left, right, p=1.0)


class Gaussian(VectorKernel):
    """``exp(-|x - y|^2 / (2 b^2))`` with Euclidean distance; its frequencies are normal.

    Args:
        bandwidth: b, in units of the features, or a rule.

    Raises:
        UserError: for a bandwidth that is not above 0.
        ValueError: when called with a rule that has not been fitted.
    """

    def __init__(self, bandwidth: float | Bandwidth = 1.0) -> None:
        self.bandwidth = _checked(bandwidth)

    def fitted(self, references: RowFeature) -> VectorKernel:
        """See :meth:`VectorKernel.fitted`."""
        return Gaussian(fit_bandwidth(self.bandwidth, references, euclidean))

    def __call__(self, left: Tensor, right: Tensor) -> Tensor:
        """See :meth:`VectorKernel.__call__`."""
        ratio = euclidean(left, right) / _known(self.bandwidth)
        return torch.exp(-0.5 * ratio.square())


class Laplace(VectorKernel):
    """``exp(-|x - y|_1 / b)`` with the sum of absolute differences; its frequencies are Cauchy.

    A product over features. Over D features of similar spread that distance grows as D, so the
    bandwidth has to; :class:`MedianBandwidth` takes it from the same distance.

    Args:
        bandwidth: b, in units of the features, or a rule.

    Raises:
        UserError: for a bandwidth that is not above 0.
        ValueError: when called with a rule that has not been fitted.
    """

    def __init__(self, bandwidth: float | Bandwidth = 1.0) -> None:
        self.bandwidth = _checked(bandwidth)

    def fitted(self, references: RowFeature) -> VectorKernel:
        """See :meth:`VectorKernel.fitted`."""
        return Laplace(fit_bandwidth(self.bandwidth, references, city_block))

    def __call__(self, left: Tensor, right: Tensor) -> Tensor:
        """See :meth:`VectorKernel.__call__`."""
        return torch.exp(-city_block(left, right) / _known(self.bandwidth))


class RationalQuadratic(VectorKernel):
    """``(1 + |x - y|^2 / (2 alpha b^2))^-alpha``: Gaussians of many bandwidths at once.

    The mixture of Gaussian kernels whose inverse squared bandwidth is gamma-distributed
    (Rasmussen and Williams 2006, eq. 4.19); it sees differences near and far.

    Args:
        bandwidth: b, in units of the features, or a rule.
        alpha: above 0; the smaller, the wider the mixture.

    Raises:
        UserError: for a number that is not above 0.
        ValueError: when called with a rule that has not been fitted.
    """

    def __init__(self, bandwidth: float | Bandwidth = 1.0, alpha: float = 1.0) -> None:
        check_positive("alpha", alpha)
        self.bandwidth = _checked(bandwidth)
        self.alpha = alpha

    def fitted(self, references: RowFeature) -> VectorKernel:
        """See :meth:`VectorKernel.fitted`."""
        width = fit_bandwidth(self.bandwidth, references, euclidean)
        return RationalQuadratic(width, self.alpha)

    def __call__(self, left: Tensor, right: Tensor) -> Tensor:
        """See :meth:`VectorKernel.__call__`."""
        ratio = euclidean(left, right) / _known(self.bandwidth)
        return (1 + ratio.square() / (2 * self.alpha)) ** -self.alpha


def _checked(bandwidth: float | Bandwidth) -> float | Bandwidth:
    if isinstance(bandwidth, Bandwidth):
        return bandwidth
    check_positive("bandwidth", bandwidth)
    return bandwidth


def _known(bandwidth: float | Bandwidth) -> float:
    if isinstance(bandwidth, Bandwidth):
        raise ValueError(
            f"the bandwidth is still a rule, {type(bandwidth).__name__}: call the kernel that"
            " fitted(references) returns"
        )
    return bandwidth
