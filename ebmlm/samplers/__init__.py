"""Samplers: which sequences do we look at?"""

from __future__ import annotations

from ebmlm.samplers.anchors import AnchorPlacement, GivenAnchors, StridedAnchors
from ebmlm.samplers.base import Sampler
from ebmlm.samplers.block_parallel import BlockParallelSampler
from ebmlm.samplers.randomness import sequence_uniforms

__all__ = [
    "AnchorPlacement",
    "BlockParallelSampler",
    "GivenAnchors",
    "Sampler",
    "StridedAnchors",
    "sequence_uniforms",
]
