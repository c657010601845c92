"""Tables: flat, ordinary or nearly certain, with and without ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ebmlm.testing import TabularLanguageModel
from ebmlm.testing.strategies import tabular_models
from tests.testing.strategies.occurring import occurring, smallest


@given(st.integers(1, 3), st.integers(0, 2), st.integers(1, 3), st.booleans(), st.data())
def test_tables_keep_to_their_sizes(
    fewest: int, more: int, order: int, ends: bool, data: st.DataObject
) -> None:
    model = data.draw(tabular_models(fewest, fewest + more, order, ends))
    assert fewest <= model.vocabulary_size <= fewest + more
    assert 1 <= model.order <= order
    assert list(model.end_tokens) == sorted(set(model.end_tokens))
    # One token at least goes on.
    assert set(model.end_tokens) < set(range(model.vocabulary_size))
    assert ends or not model.end_tokens
    assert model.logits.isfinite().all()


KINDS: dict[str, Callable[[TabularLanguageModel], object]] = {
    "flat": lambda model: not model.logits.any(),
    "nearly certain": lambda model: (model.logits.softmax(-1) > 0.99).any(),
    "ordinary": lambda model: 0.1 < model.logits.std() < 2,
    "no end": lambda model: not model.end_tokens,
    "an end": lambda model: len(model.end_tokens) == 1,
    "several ends": lambda model: len(model.end_tokens) == 2,
    # Zeros stand after the end, too.
    "an end that is the token 0": lambda model: 0 in model.end_tokens,
    "a short memory": lambda model: model.order == 1,
    "a long memory": lambda model: model.order == 3,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_table_occurs(kind: str) -> None:
    occurring(tabular_models(), KINDS[kind])


def test_tables_are_drawn_from_several_seeds() -> None:
    first = smallest(tabular_models())
    occurring(
        tabular_models(),
        lambda model: (
            model.logits.shape == first.logits.shape and not torch.equal(model.logits, first.logits)
        ),
    )


def test_they_shrink_to_two_tokens_without_an_end() -> None:
    model = smallest(tabular_models())
    assert (model.vocabulary_size, model.order, model.end_tokens) == (2, 1, ())
