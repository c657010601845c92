"""Functions of text or tokens as feature maps: what they are given, and how often."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
import torch

from ebmlm.distribution import Categorical
from ebmlm.errors import UserError
from ebmlm.features import FunctionFeatures, TextReading, TokenReading
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.texts import Texts
from tests.features.maps import some_rollouts
from tests.helpers import branches, packed_batch, prefix_of, seeded


class _Letters:
    def decode(self, tokens: list[int], **options: Any) -> str:
        return "".join("abcdefghij"[token % 10] for token in tokens)


class _Recorded:
    """Remembers what it was given; a vector is (length, last)."""

    def __init__(self) -> None:
        self.given: list[list[Any]] = []

    def __call__(self, readings: Sequence[Any]) -> torch.Tensor:
        self.given.append(list(readings))
        return torch.tensor([[len(one), one[-1] if one else -1] for one in readings]).float()


def _packed() -> Rollouts:
    """Anchors in every document, at a row's start and beside padding; tokens after an end."""
    batch = packed_batch()
    anchors = torch.tensor([[1, 9, 20], [8, 9, 18], [6, 14, 0], [2, 15, 18]])
    completions = torch.randint(61, (4, 3, 2, 3), generator=seeded(5))
    mask = torch.ones_like(completions, dtype=torch.bool)
    mask[:, :, 0, 2] = False
    mask[:, 1, 1, 1:] = False
    return Rollouts.given(batch, anchors, anchors > 0, completions, Categorical(), mask)


@pytest.mark.parametrize("context", [0, 1, 4, 100])
def test_a_function_is_given_the_documents_own_context_and_real_tokens(context: int) -> None:
    rollouts = _packed()
    function = _Recorded()
    features = FunctionFeatures(function, 2, TokenReading(context), batch_size=1000)
    found = features(rollouts)
    expected = []
    for row, place, sample, tokens in branches(rollouts):
        prefix = prefix_of(rollouts.batch, row, int(rollouts.anchors[row, place]))
        reading = (*prefix[len(prefix) - min(context, len(prefix)) :], *tokens)
        expected.append(reading)
        vector = torch.tensor([len(reading), reading[-1]]).float()
        assert torch.equal(found.rollouts[row, place, sample], vector)
        real = rollouts.references[row, place][rollouts.reference_mask[row, place]].tolist()
        expected.append((*prefix[len(prefix) - min(context, len(prefix)) :], *real))
    assert set(function.given[0]) == set(expected)
    assert not found.rollouts[~rollouts.anchor_mask].any()


def test_each_distinct_reading_is_given_once_and_references_are_remembered() -> None:
    rollouts = some_rollouts()
    same = rollouts.completions[:, :, :1].expand_as(rollouts.completions).contiguous()
    rollouts = Rollouts.given(
        rollouts.batch, rollouts.anchors, rollouts.anchor_mask, same, Categorical()
    )
    function = _Recorded()
    features = FunctionFeatures(function, 2, batch_size=3)
    first = features(rollouts)
    given = [one for batch in function.given for one in batch]
    assert len(given) == len(set(given))
    assert all(len(batch) <= 3 for batch in function.given)
    references = {
        tuple(rollouts.references[row, place].tolist())
        for row, place in rollouts.anchor_mask.nonzero().tolist()
    }
    function.given.clear()
    second = features(rollouts)
    assert torch.equal(first.rollouts, second.rollouts)
    again = {one for batch in function.given for one in batch}
    assert not again & references


def test_no_more_references_are_kept_than_allowed_and_the_oldest_go() -> None:
    def at(place: int) -> Rollouts:
        batch = SequenceBatch.of(torch.arange(10).unsqueeze(0))
        anchors = torch.tensor([[place]])
        completions = torch.zeros(1, 1, 1, 1, dtype=torch.long)
        return Rollouts.given(batch, anchors, anchors > 0, completions, Categorical())

    function = _Recorded()
    features = FunctionFeatures(function, 2, kept=2)
    for place in (3, 4, 3, 5, 3, 4):
        features(at(place))
    asked = [one for batch in function.given for one in batch if one != (0,)]
    assert asked == [(3,), (4,), (5,), (4,)]
    none = FunctionFeatures(function, 2, kept=0)
    function.given.clear()
    none(at(3))
    none(at(3))
    assert [one for batch in function.given for one in batch].count((3,)) == 2


def test_text_is_decoded_with_its_context() -> None:
    texts = Texts(cast(Any, _Letters()), {})
    seen: list[str] = []

    def lengths(rows: Sequence[str]) -> torch.Tensor:
        seen.extend(rows)
        return torch.tensor([[float(len(row))] for row in rows])

    batch = SequenceBatch.of(torch.arange(10).unsqueeze(0))
    anchors = torch.tensor([[4]])
    completions = torch.tensor([[[[7, 8], [9, 9]]]])
    rollouts = Rollouts.given(batch, anchors, anchors > 0, completions, Categorical())
    FunctionFeatures(lengths, 1, TextReading(texts, context=2))(rollouts)
    assert sorted(seen) == ["cdef", "cdhi", "cdjj"]


def test_what_a_function_returns_is_looked_at() -> None:
    def wrong(readings: Sequence[Any]) -> torch.Tensor:
        return torch.zeros(len(readings), 3)

    with pytest.raises(UserError, match=r"wrong returned shape \(\d+, 3\).*vector of 2 features"):
        FunctionFeatures(wrong, 2)(some_rollouts())

    def endless(readings: Sequence[Any]) -> torch.Tensor:
        values = torch.zeros(len(readings), 2)
        values[1, 1] = torch.inf
        return values

    with pytest.raises(UserError, match=r"endless returned a value that is not finite for \("):
        FunctionFeatures(endless, 2)(some_rollouts())


def test_options_out_of_range() -> None:
    function = _Recorded()
    with pytest.raises(UserError, match="width is 0"):
        FunctionFeatures(function, 0)
    with pytest.raises(UserError, match="batch_size is 0"):
        FunctionFeatures(function, 1, batch_size=0)
    with pytest.raises(UserError, match="kept is -1"):
        FunctionFeatures(function, 1, kept=-1)
    with pytest.raises(UserError, match="context is -1"):
        TokenReading(-1)
    with pytest.raises(UserError, match="context is -2"):
        TextReading(Texts(cast(Any, _Letters()), {}), -2)
