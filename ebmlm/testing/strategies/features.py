"""Feature vectors of every awkward kind: rank-deficient, duplicated, tiny, huge, zero."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import Tensor

from ebmlm.features.base import Features
from ebmlm.testing.strategies.numbers import tensors

__all__ = ["feature_vectors", "features"]


@st.composite
def feature_vectors(draw: st.DrawFn, samples: int, width: int) -> Tensor:
    """Vectors (sample, feature), float64: ordinary, or of low rank, alike, tiny, huge, or zero."""
    vectors = draw(tensors((samples, width)))
    # Each kind seldom enough for vectors that are of none of them.
    if draw(st.sampled_from([False, False, True])):
        # Every vector along the first one: of rank one.
        vectors = vectors[:, :1] * vectors[:1]
    for sample in range(1, samples):
        if draw(st.sampled_from([False, False, False, True])):
            vectors[sample] = vectors[draw(st.integers(0, sample - 1))]
    scale = draw(st.sampled_from([1.0, 1.0, 1.0, 1e-12, 1e12, 0.0]))
    return vectors * scale


@st.composite
def features(
    draw: st.DrawFn,
    min_samples: int = 2,
    max_samples: int = 4,
    max_width: int = 4,
) -> Features:
    """Features of a batch with their references, as one block or as two.

    Args:
        draw: given by Hypothesis.
        min_samples: rollouts per anchor at least.
        max_samples: rollouts per anchor at most.
        max_width: features at most.
    """
    rows, places = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    samples = draw(st.integers(min_samples, max_samples))
    width = draw(st.integers(1, max_width))
    # The last of each group is the reference.
    groups = [draw(feature_vectors(samples + 1, width)) for _ in range(rows * places)]
    stacked = torch.stack(groups).view(rows, places, samples + 1, width)
    first = draw(st.integers(0, width - 1))
    blocks = (width - first, first) if first else (width,)
    return Features(stacked[:, :, :samples], stacked[:, :, samples], blocks)
