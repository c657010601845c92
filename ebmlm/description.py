"""A part of a configuration as plain data, the same for parts that were built alike."""

from __future__ import annotations

import enum
import functools
import inspect
from collections.abc import Mapping
from typing import Any

__all__ = ["described"]


def described(value: Any) -> Any:
    """Return ``value`` as lists, mappings and texts that compare, and can be written as JSON.

    An object is its class and the arguments of its constructor, as far as it keeps them under their
    names or with an underscore before them. A function is its name, with what is bound to it.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, Mapping):
        return {str(name): described(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [described(each) for each in value]
    if isinstance(value, (set, frozenset)):
        return sorted((described(each) for each in value), key=repr)
    if isinstance(value, functools.partial):
        # Bound positions hold what the parser calls classes with; the class itself is the last.
        bound = [each for each in value.args if isinstance(each, type)]
        name = bound[-1] if bound else value.func
        return {"callable": _name(name), **described(value.keywords)}
    if callable(value) and hasattr(value, "__qualname__"):
        return {"callable": _name(value)}
    kept = getattr(value, "__dict__", None)
    if kept is None:
        return repr(value)
    arguments = {
        name: kept[place]
        for name in inspect.signature(type(value)).parameters
        for place in (name, f"_{name}")
        if place in kept
    }
    return {"class": _name(type(value)), **described(arguments)}


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"
