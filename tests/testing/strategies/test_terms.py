"""Energy terms, as a U-statistic has them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ebmlm.energies import EnergyTerms
from ebmlm.testing.strategies import energy_terms
from tests.testing.strategies.occurring import occurring, smallest

shapes = st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(1, 4))


@given(shapes, st.sampled_from([True, False, None]), st.data())
def test_pairs_are_symmetric_without_self_terms(
    shape: tuple[int, int, int], pairs: bool | None, data: st.DataObject
) -> None:
    terms = data.draw(energy_terms(shape, pairs=pairs))
    assert terms.unary.shape == shape
    assert terms.unary.dtype == torch.float64
    if terms.pairwise is None:
        assert shape[2] == 1 or not pairs
    else:
        assert shape[2] > 1 and pairs is not False
        assert terms.pairwise.shape == (*shape, shape[2])
        assert torch.equal(terms.pairwise, terms.pairwise.mT)
        assert (terms.pairwise.diagonal(dim1=-2, dim2=-1) == 0).all()


@given(energy_terms((1, 2, 3), st.just(5.0), pairs=True))
def test_elements_may_be_given(terms: EnergyTerms) -> None:
    assert (terms.unary == 5).all()
    assert terms.pairwise is not None
    assert (terms.pairwise.sum((-1, -2)) == 6 * 5).all()


@pytest.mark.parametrize("pairs", [True, False])
def test_there_may_be_pairs_or_none(pairs: bool) -> None:
    occurring(energy_terms((1, 1, 2)), lambda terms: (terms.pairwise is not None) == pairs)


def test_samples_differ_alone_and_in_pairs() -> None:
    def differ(terms: EnergyTerms) -> bool:
        assert terms.pairwise is not None
        upper = [terms.pairwise[0, 0, left, right].item() for left, right in ((0, 1), (0, 2))]
        return len(set(terms.unary.flatten().tolist())) == 3 and upper[0] != upper[1]

    occurring(energy_terms((1, 1, 3), pairs=True), differ)


def test_they_shrink_to_zero() -> None:
    terms = smallest(energy_terms((1, 1, 2)))
    assert terms.unary.tolist() == [[[0, 0]]]
    assert terms.pairwise is None
    pairwise = smallest(energy_terms((1, 1, 2), pairs=True)).pairwise
    assert pairwise is not None
    assert not pairwise.any()
