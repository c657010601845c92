"""Energy terms, as a U-statistic has them."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from ebmlm.energies.base import EnergyTerms
from ebmlm.testing.strategies.numbers import tensors

__all__ = ["energy_terms"]


@st.composite
def energy_terms(
    draw: st.DrawFn,
    shape: tuple[int, int, int],
    elements: SearchStrategy[float] | None = None,
    pairs: bool | None = None,
) -> EnergyTerms:
    """Terms (batch, anchor, sample), with or without symmetric pairs that have no self-terms.

    Args:
        draw: given by Hypothesis.
        shape: (batch, anchor, sample); there are no pairs for a single sample.
        elements: of the tensors; halves from -3 to 3 unless given.
        pairs: whether there are pairs; either unless given.
    """
    unary = draw(tensors(shape, elements))
    samples = shape[2]
    if samples < 2 or not (draw(st.booleans()) if pairs is None else pairs):
        return EnergyTerms(unary)
    upper = torch.triu_indices(samples, samples, offset=1)
    values = draw(tensors((*shape[:2], upper.shape[1]), elements))
    pairwise = unary.new_zeros(*shape, samples)
    pairwise[:, :, upper[0], upper[1]] = values
    return EnergyTerms(unary, pairwise + pairwise.mT)
