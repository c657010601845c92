"""Kernels: how alike are two continuations of a context?"""

from __future__ import annotations

from ebmlm.kernels.bandwidth import Bandwidth, MedianBandwidth
from ebmlm.kernels.base import Kernel, KernelValues, ScaledKernel, SumKernel
from ebmlm.kernels.distances import Gaussian, Laplace, RationalQuadratic
from ebmlm.kernels.features import FeatureKernel
from ebmlm.kernels.ngrams import NGramKernel
from ebmlm.kernels.normalised import NormalisedKernel
from ebmlm.kernels.products import Linear, Polynomial
from ebmlm.kernels.subsequences import SubsequenceKernel
from ebmlm.kernels.vectors import ScaledVectorKernel, SumVectorKernel, VectorKernel

__all__ = [
    "Bandwidth",
    "FeatureKernel",
    "Gaussian",
    "Kernel",
    "KernelValues",
    "Laplace",
    "Linear",
    "MedianBandwidth",
    "NGramKernel",
    "NormalisedKernel",
    "Polynomial",
    "RationalQuadratic",
    "ScaledKernel",
    "ScaledVectorKernel",
    "SubsequenceKernel",
    "SumKernel",
    "SumVectorKernel",
    "VectorKernel",
]
