"""A part of a configuration as plain data, the same for parts that were built alike."""

from __future__ import annotations

import enum
import functools
from collections.abc import Mapping
from typing import Any

__all__ = ["described"]


def described(value: Any) -> Any:
    """Return ``value`` as lists, mappings and texts that compare, and can be written as JSON.

    An object is its class and its attributes; a function is its name, with what is bound to it.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, Mapping):
        return {str(name): described(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [described(each) for each in value]
    if isinstance(value, functools.partial):
        # Bound positions hold what the parser calls classes with; the class itself is the last.
        bound = [each for each in value.args if isinstance(each, type)]
        name = bound[-1] if bound else value.func
        return {"callable": _name(name), **described(value.keywords)}
    if callable(value) and hasattr(value, "__qualname__"):
        return {"callable": _name(value)}
    attributes = getattr(value, "__dict__", None)
    if attributes is None:
        return repr(value)
    return {"class": _name(type(value)), **described(attributes)}


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"
