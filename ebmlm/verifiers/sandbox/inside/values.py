"""Plain values as JSON, for calls between processes that do not trust each other.

Decoding makes builtin objects only: nothing that a sender defines can come along.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

__all__ = ["NotPlain", "decode", "encode"]

_MOST_OF_AN_ITERATOR = 100_000


class NotPlain(TypeError):
    """A value is none of those that can be carried over."""


def encode(value: Any) -> Any:
    """Return the JSON of a value; of subclasses, the plain value they are made of.

    Raises:
        NotPlain: of anything but None, bool, int, float, complex, str, bytes, list, tuple, dict,
            set, frozenset, range, slice, an iterator over such, and numpy's scalars and arrays.
    """
    if value is None or value is True or value is False:
        return value
    for kind, encoder in _ENCODERS:
        if isinstance(value, kind):
            return encoder(value)
    if type(value).__module__.split(".")[0] == "numpy" and hasattr(value, "tolist"):
        return encode(value.tolist())
    if isinstance(value, Iterator):
        return _many("iterator", list(itertools.islice(value, _MOST_OF_AN_ITERATOR)))
    raise NotPlain(f"{type(value).__name__!r} is no plain value")


def decode(data: Any) -> Any:
    """Return the value of what ``encode`` returned.

    Raises:
        NotPlain: if it is something else.
    """
    if data is None or isinstance(data, (bool, str)):
        return data
    try:
        ((kind, content),) = data.items()
        return _DECODERS[kind](content)
    except NotPlain:
        raise
    except Exception as error:
        raise NotPlain(f"malformed: {type(error).__name__}") from None


def _many(name: str, values: Any) -> dict[str, Any]:
    return {name: [encode(value) for value in values]}


_ENCODERS: list[tuple[type, Any]] = [
    (str, lambda value: str.__str__(value)),
    (int, lambda value: {"int": hex(value)}),
    (float, lambda value: {"float": float.hex(value)}),
    (complex, lambda value: {"complex": [float.hex(value.real), float.hex(value.imag)]}),
    (bytes, lambda value: {"bytes": value.hex()}),
    (list, lambda value: _many("list", value)),
    (tuple, lambda value: _many("tuple", value)),
    (dict, lambda value: _many("dict", value.items())),
    (frozenset, lambda value: _many("frozenset", value)),
    (set, lambda value: _many("set", value)),
    (range, lambda value: _many("range", (value.start, value.stop, value.step))),
    (slice, lambda value: _many("slice", (value.start, value.stop, value.step))),
]

_DECODERS: dict[str, Any] = {
    "int": lambda content: int(content, 16),
    "float": float.fromhex,
    "complex": lambda content: complex(*map(float.fromhex, content)),
    "bytes": bytes.fromhex,
    "list": lambda content: [decode(one) for one in content],
    "tuple": lambda content: tuple(decode(one) for one in content),
    "dict": lambda content: dict(decode(one) for one in content),
    "frozenset": lambda content: frozenset(decode(one) for one in content),
    "set": lambda content: {decode(one) for one in content},
    "iterator": lambda content: iter([decode(one) for one in content]),
    "range": lambda content: range(*(decode(one) for one in content)),
    "slice": lambda content: slice(*(decode(one) for one in content)),
}
