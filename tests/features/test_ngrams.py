"""Hashed n-gram counts against the full ones."""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

import pytest
import torch

from ebmlm.errors import UserError
from ebmlm.features import NGramFeatures, TextReading
from ebmlm.features.ngrams import hashed_ngrams
from ebmlm.texts import Texts
from tests.features.maps import some_rollouts

ONE = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5]
TWO = [1, 4, 1, 5, 9, 5, 3, 5, 8, 9, 7]

PINNED = {7: -1, 10: -1, 11: -1, 20: -1, 21: -1, 24: -1, 27: 1}


def _counts(tokens: list[int], orders: tuple[int, ...]) -> Counter[tuple[int, ...]]:
    return Counter(
        tuple(tokens[start : start + order])
        for order in orders
        for start in range(len(tokens) - order + 1)
    )


def _spectrum(left: list[int], right: list[int], orders: tuple[int, ...]) -> int:
    one, two = _counts(left, orders), _counts(right, orders)
    return sum(count * two[gram] for gram, count in one.items())


@pytest.mark.parametrize("orders", [(1,), (2,), (1, 2, 3)])
def test_in_many_features_inner_products_are_those_of_the_full_counts(
    orders: tuple[int, ...],
) -> None:
    one, two = hashed_ngrams([ONE, TWO], orders, 1 << 16)
    assert one @ two == _spectrum(ONE, TWO, orders)
    assert one @ one == _spectrum(ONE, ONE, orders)


def test_in_few_features_they_are_on_average_over_hashes() -> None:
    """2,000 hashes into 16 features, within 5 standard errors."""
    products = torch.stack(
        [torch.dot(*hashed_ngrams([ONE, TWO], (1, 2), 16, seed)) for seed in range(2000)]
    )
    error = float(products.std()) / 2000**0.5
    assert abs(float(products.mean()) - _spectrum(ONE, TWO, (1, 2))) < 5 * error
    assert error > 0


def test_the_hash_is_the_same_on_every_machine() -> None:
    (vector,) = hashed_ngrams([[0, 1, 2, 40_000]], (1, 2), 32)
    assert {index: int(vector[index]) for index in vector.nonzero().flatten().tolist()} == PINNED


def test_order_counts() -> None:
    forth, back = hashed_ngrams([[1, 2], [2, 1]], (2,), 1 << 16)
    assert forth @ back == 0
    short, long = hashed_ngrams([[1], [1, 0]], (2,), 8)
    assert not short.any() and long.any()


def test_normalised_vectors_have_length_one() -> None:
    rollouts = some_rollouts()
    made = NGramFeatures((1, 2), 64)(rollouts)
    lengths = made.rollouts.norm(dim=-1)[rollouts.anchor_mask]
    torch.testing.assert_close(lengths, torch.ones_like(lengths))
    raw = NGramFeatures((1,), 64, normalised=False)(rollouts)
    assert raw.rollouts.abs().sum() > lengths.sum()


def test_characters_of_text() -> None:
    class Letters:
        def decode(self, tokens: list[int], **options: Any) -> str:
            return "".join("abcdefg"[token] for token in tokens)

    rollouts = some_rollouts()
    reading = TextReading(Texts(cast(Any, Letters()), {}))
    of_text = NGramFeatures((1,), 1 << 12, reading, normalised=False)(rollouts).rollouts
    of_tokens = NGramFeatures((1,), 1 << 12, normalised=False)(rollouts).rollouts
    torch.testing.assert_close(of_text @ of_text.mT, of_tokens @ of_tokens.mT)


@pytest.mark.parametrize("orders", [(), (0,), (2, -1)])
def test_orders_out_of_range(orders: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="orders is"):
        NGramFeatures(orders)
