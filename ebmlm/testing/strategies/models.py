"""Language models that are tables."""

from __future__ import annotations

import torch
from hypothesis import strategies as st

from ebmlm.testing.tabular import TabularLanguageModel

__all__ = ["tabular_models"]


@st.composite
def tabular_models(
    draw: st.DrawFn,
    min_vocabulary: int = 2,
    max_vocabulary: int = 3,
    max_order: int = 3,
    ends: bool = True,
) -> TabularLanguageModel:
    """Tables of random logits: flat, ordinary, or nearly certain; with and without end tokens.

    Args:
        draw: given by Hypothesis.
        min_vocabulary: tokens at least.
        max_vocabulary: tokens at most.
        max_order: tokens of context that are told apart, at most.
        ends: whether some of the tokens may end a completion.
    """
    vocabulary = draw(st.integers(min_vocabulary, max_vocabulary))
    tokens = st.sampled_from(range(vocabulary))
    stops = draw(st.sets(tokens, max_size=vocabulary - 1)) if ends else set()
    return TabularLanguageModel(
        vocabulary,
        draw(st.integers(1, max_order)),
        end_tokens=sorted(stops),
        layers=2,
        hidden=3,
        scale=draw(st.sampled_from([1.0, 0.0, 4.0])),
        generator=torch.Generator().manual_seed(draw(st.integers(0, 99))),
    )
