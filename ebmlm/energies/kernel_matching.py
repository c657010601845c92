"""Kernel matching: the first variation of the squared maximum mean discrepancy.

Gretton et al. 2012, "A kernel two-sample test", lemma 6; docs/mathematics.md, eq. 12 and 13.
"""

from __future__ import annotations

import torch

from ebmlm.energies.base import Energy, EnergyTerms
from ebmlm.errors import UserError
from ebmlm.kernels.base import Kernel, KernelValues
from ebmlm.rollouts import Rollouts, Scores
from ebmlm.typing import BatchAnchor

__all__ = ["KernelMatchingEnergy", "kernel_matching_terms", "squared_discrepancy"]


def kernel_matching_terms(
    values: KernelValues, *, alignment: float = 1.0, diversity: float = 1.0
) -> EnergyTerms:
    """Return the terms of given kernel values; see :class:`KernelMatchingEnergy`."""
    samples = values.pairs.shape[-1]
    others = ~torch.eye(samples, dtype=torch.bool, device=values.pairs.device)
    pairwise = torch.where(others, values.pairs, 0)
    aligned, diverse = 2 * values.references, 2 * pairwise.sum(-1) / max(samples - 1, 1)
    metrics = {"alignment": aligned.mean(-1), "diversity": diverse.mean(-1)}
    pairs = 2 * diversity * pairwise if diversity else None
    return EnergyTerms(-alignment * aligned, pairs, metrics)


def squared_discrepancy(values: KernelValues) -> BatchAnchor:
    """Unbiased estimate (batch, anchor) of ``E k(y1, y2) - 2 E k(y1, y*) + k(y*, y*)``.

    The squared maximum mean discrepancy between the policy and the one real continuation
    (docs/mathematics.md, eq. 12). No sample is compared with itself, so one estimate may be
    negative.

    Raises:
        UserError: for a single sample per anchor.
    """
    return kernel_matching_terms(values).functional() + values.own


class KernelMatchingEnergy(Energy):
    """How unlike the real continuation rollouts are under a kernel, and how like each other.

    ``e_j = -2 a k(y_j, y*) + 2 d/(N-1) sum_{l != j} k(y_j, y_l)`` with alignment coefficient a and
    diversity coefficient d. With a = d = 1 it is the first variation of the squared maximum mean
    discrepancy (docs/mathematics.md, eq. 12 and 13), and its policy gradient is exact. Under the
    kernel ``FeatureKernel(features, Linear())`` it is
    :class:`~ebmlm.energies.feature_matching.FeatureMatchingEnergy`.

    Args:
        kernel: how alike two continuations are.
        alignment: coefficient of the alignment with the real continuation.
        diversity: coefficient of the rollouts' likeness to each other.

    Reports ``alignment`` (2 k(y_j, y*)) and ``diversity`` (2 k(y_j, y_l), the mean over pairs), as
    means over samples, without their coefficients.

    Raises:
        UserError: for a negative or not finite coefficient; when called, whatever the kernel
            refuses, such as features without references.
    """

    def __init__(self, kernel: Kernel, alignment: float = 1.0, diversity: float = 1.0) -> None:
        for name, value in (("alignment", alignment), ("diversity", diversity)):
            if not 0 <= value < float("inf"):
                raise UserError(f"{name} is {value}: the coefficient must be finite and at least 0")
        self.kernel = kernel
        self.alignment = alignment
        self.diversity = diversity

    @property
    def minimum_samples(self) -> int:
        """Two, unless the diversity coefficient is zero."""
        return 2 if self.diversity else 1

    @property
    def bias(self) -> str | None:
        """What the kernel says."""
        return self.kernel.bias

    @torch.no_grad()
    def __call__(self, rollouts: Rollouts, scores: Scores) -> EnergyTerms:
        """See :meth:`Energy.__call__`."""
        return kernel_matching_terms(
            self.kernel(rollouts), alignment=self.alignment, diversity=self.diversity
        )
