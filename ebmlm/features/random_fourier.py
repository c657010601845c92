"""Random Fourier features: feature matching in the metric of a shift-invariant kernel.

A kernel ``k(x, y) = kappa(x - y)`` is the characteristic function of a distribution of frequencies
(Bochner's theorem). With frequencies w_1..w_m drawn from it, the 2m features
``m^(-1/2) (cos w_i.x, sin w_i.x)`` have inner products that are unbiased estimates of the kernel,
with a standard error of at most ``(2m)^(-1/2)`` (Rahimi and Recht 2007; Sutherland and Schneider
2015; docs/mathematics.md, eq. 16).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from ebmlm.errors import UserError
from ebmlm.features.algebra import known_width
from ebmlm.features.base import FeatureMap, Features, mapped
from ebmlm.rollouts import Rollouts
from ebmlm.typing import RowFeature

__all__ = ["GaussianSpectrum", "LaplaceSpectrum", "RandomFourierFeatures", "Spectrum"]


class Spectrum(ABC):
    """Answers one question: how are a kernel's frequencies distributed?"""

    @abstractmethod
    def draw(self, count: int, width: int, generator: torch.Generator) -> RowFeature:
        """Draw ``count`` frequencies of ``width`` dimensions, (row, feature), float64."""


class GaussianSpectrum(Spectrum):
    """Normal frequencies: the kernel ``exp(-|x - y|^2 / (2 bandwidth^2))``.

    Raises:
        UserError: for a bandwidth that is not above zero and finite.
    """

    def __init__(self, bandwidth: float = 1.0) -> None:
        self.bandwidth = _checked(bandwidth)

    def draw(self, count: int, width: int, generator: torch.Generator) -> RowFeature:
        """See :meth:`Spectrum.draw`."""
        normal = torch.randn(count, width, generator=generator, dtype=torch.float64)
        return normal / self.bandwidth


class LaplaceSpectrum(Spectrum):
    """Cauchy frequencies: the kernel ``exp(-|x - y|_1 / bandwidth)``.

    Raises:
        UserError: for a bandwidth that is not above zero and finite.
    """

    def __init__(self, bandwidth: float = 1.0) -> None:
        self.bandwidth = _checked(bandwidth)

    def draw(self, count: int, width: int, generator: torch.Generator) -> RowFeature:
        """See :meth:`Spectrum.draw`; by the inverse of the distribution function."""
        uniform = torch.rand(count, width, generator=generator, dtype=torch.float64)
        return (torch.pi * (uniform - 0.5)).tan() / self.bandwidth


def _checked(bandwidth: float) -> float:
    if not 0 < bandwidth < float("inf"):
        raise UserError(f"bandwidth is {bandwidth}: it must be above 0 and finite")
    return bandwidth


class RandomFourierFeatures(FeatureMap):
    """Features whose inner products approximate a shift-invariant kernel of other features.

    Args:
        features: what the kernel compares, of a width known beforehand.
        spectrum: the kernel; by default Gaussian of bandwidth one.
        frequencies: m; there are twice as many features.
        seed: of the frequencies.

    Raises:
        UserError: for fewer than one frequency.
    """

    def __init__(
        self,
        features: FeatureMap,
        spectrum: Spectrum | None = None,
        frequencies: int = 512,
        seed: int = 0,
    ) -> None:
        if frequencies < 1:
            raise UserError(f"frequencies is {frequencies}: draw at least 1")
        width = known_width(features, "a random Fourier map")
        self.features = features
        self.spectrum = GaussianSpectrum() if spectrum is None else spectrum
        self.frequencies = frequencies
        self.seed = seed
        generator = torch.Generator().manual_seed(seed)
        self._drawn = self.spectrum.draw(frequencies, width, generator)

    @property
    def blocks(self) -> tuple[int, ...] | None:
        """One, of cosines and then sines."""
        return (2 * self.frequencies,)

    def __call__(self, rollouts: Rollouts) -> Features:
        """See :meth:`FeatureMap.__call__`."""
        waves = mapped(self.features(rollouts), self._waves, (2 * self.frequencies,))
        # The wave of a zero vector is not zero, and nothing may stand at invalid anchors.
        valid = rollouts.anchor_mask.unsqueeze(-1)
        return Features(
            torch.where(valid.unsqueeze(-1), waves.rollouts, 0),
            None if waves.references is None else torch.where(valid, waves.references, 0),
            waves.blocks,
        )

    def _waves(self, vectors: Tensor) -> Tensor:
        # Angles may be large, and what counts is the remainder of a turn.
        angles = vectors.double() @ self._drawn.to(vectors.device).mT
        waves = torch.cat([angles.cos(), angles.sin()], dim=-1) / self.frequencies**0.5
        return waves.to(vectors.dtype)
