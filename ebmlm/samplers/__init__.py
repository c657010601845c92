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
from ebmlm.samplers.replay import Priority, ReplaySampler, UniformPriority
from ebmlm.samplers.replay_buffer import ReplayBuffer
from ebmlm.samplers.surprising_anchors import SurprisingAnchors

__all__ = [
    "AnchorPlacement",
    "AutoregressiveSampler",
    "BlockParallelSampler",
    "CompletionAnchors",
    "GivenAnchors",
    "Priority",
    "PromptEnd",
    "ReplayBuffer",
    "ReplaySampler",
    "Sampler",
    "StridedAnchors",
    "SurprisingAnchors",
    "UniformPriority",
    "sequence_uniforms",
]
