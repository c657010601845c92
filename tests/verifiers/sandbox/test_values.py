"""Plain values between processes."""

from __future__ import annotations

import collections
import enum
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebmlm.verifiers.sandbox.inside.values import NotPlain, decode, encode

_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False)
)
_HASHABLE = st.recursive(_LEAVES, lambda inner: st.tuples(inner) | st.frozensets(inner, max_size=3))
_VALUES = st.recursive(
    _HASHABLE | st.sets(_HASHABLE, max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_HASHABLE, inner, max_size=3),
    max_leaves=10,
)


def over(value: object) -> object:
    return decode(json.loads(json.dumps(encode(value))))


@given(_VALUES)
def test_values_come_back_equal_and_of_the_same_types(value):
    assert repr(over(value)) == repr(value) or over(value) == value
    assert type(over(value)) is type(value)


def test_numbers_of_any_size():
    assert over(-(10**6000)) == -(10**6000)
    assert str(over(float("nan"))) == "nan"
    assert str(over(-0.0)) == "-0.0"


def test_subclasses_arrive_as_what_they_are_made_of():
    class Equal(str):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = str.__hash__

    class Colour(enum.IntEnum):
        RED = 1

    assert over(Equal("x")) != "y"
    assert type(over(Colour.RED)) is int
    assert over(collections.Counter("aab")) == {"a": 2, "b": 1}
    assert over(np.float32(0.5)) == 0.5
    assert over(np.arange(3)) == [0, 1, 2]
    assert over(range(1, 9, 2)) == range(1, 9, 2)
    assert list(over(iter([1, 2]))) == [1, 2]  # type: ignore[call-overload]


@pytest.mark.parametrize("value", [object(), len, [object()], {1: type}])
def test_others_are_refused(value):
    with pytest.raises(NotPlain):
        encode(value)


@pytest.mark.parametrize(
    "data",
    [3, 1.5, [], {}, {"no": 1}, {"int": 3}, {"int": "x"}, {"set": [{"list": []}]}, {"dict": [1]},
     {"range": [{"int": "0x1"}, {"int": "0x1"}, {"int": "0x0"}]}, {"int": "0x1", "list": []}],
)  # fmt: skip
def test_malformed_data_is_refused(data):
    with pytest.raises(NotPlain):
        decode(data)
