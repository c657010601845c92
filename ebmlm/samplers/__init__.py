"""Samplers: which sequences do we look at?"""

from __future__ import annotations

from ebmlm.samplers.anchors import (
    AnchorPlacement,
    CompletionAnchors,
    GivenAnchors,
    PromptEnd,
    StridedAnchors,
)
from ebmlm.samplers.autoregressive import AutoregressiveSampler
from ebmlm.samplers.base import Sampler
from ebmlm.samplers.block_parallel import BlockParallelSampler
from ebmlm.samplers.randomness import sequence_uniforms

__all__ = [
    "AnchorPlacement",
    "AutoregressiveSampler",
    "BlockParallelSampler",
    "CompletionAnchors",
    "GivenAnchors",
    "PromptEnd",
    "Sampler",
    "StridedAnchors",
    "sequence_uniforms",
]
