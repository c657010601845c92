"""The package's samplers."""

from __future__ import annotations

from functools import partial

import torch

from ebmlm.distribution import Categorical
from ebmlm.samplers import (
    AutoregressiveSampler,
    BlockParallelSampler,
    CompletionAnchors,
    GivenAnchors,
    ReplaySampler,
    StridedAnchors,
    SurprisingAnchors,
)
from ebmlm.testing import bugs, checks, laws
from ebmlm.testing.catalogue.kind import Kind
from ebmlm.testing.tabular import TabularLanguageModel

__all__ = ["SAMPLERS"]


def _reader() -> TabularLanguageModel:
    """What finds text surprising: a table of its own, of as many tokens as the laws' largest."""
    return TabularLanguageModel(3, 2, generator=torch.Generator().manual_seed(0)).frozen()


SAMPLERS = Kind(
    "samplers",
    laws.SAMPLER_LAWS,
    checks.check_sampler,
    {
        "BlockParallel": BlockParallelSampler,
        "BlockParallel, dense": lambda: BlockParallelSampler(StridedAnchors(1, 1), 2, 3),
        "BlockParallel, nucleus": lambda: BlockParallelSampler(
            StridedAnchors(2, 3), 3, 1, Categorical(0.6, top_p=0.7)
        ),
        "BlockParallel, given anchors": lambda: BlockParallelSampler(GivenAnchors(), 3, 2),
        "BlockParallel, surprising anchors": lambda: BlockParallelSampler(
            SurprisingAnchors(_reader(), StridedAnchors(2, 1)), 3, 2
        ),
        "Autoregressive": partial(AutoregressiveSampler, 3, 2),
        "Autoregressive, long": partial(AutoregressiveSampler, 10, 1),
        "Autoregressive, nucleus": partial(
            AutoregressiveSampler, 3, 3, Categorical(0.7, top_k=2, top_p=0.9), GivenAnchors()
        ),
        "Autoregressive, within completions": partial(
            AutoregressiveSampler, 2, 2, anchors=CompletionAnchors(stride=2)
        ),
        # With nothing remembered yet; what is replayed is no draw (tests/samplers/test_replay).
        "Replay, first step": lambda: ReplaySampler(
            BlockParallelSampler(StridedAnchors(1, 1), 2, 2), 2
        ),
    },
    bugs.SAMPLER_BUGS,
)
