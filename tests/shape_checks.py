"""Run-time checks of shape annotations for the whole test run.

Every function of ``ebmlm`` with a shape of :mod:`ebmlm.typing` in its signature is checked by
typeguard, through torchtyping, whenever it is called: an axis must mean one size within a call.
Typeguard's own import hook checks every function, which makes enumeration several times slower,
misses the constructors of dataclasses, and sees only what lies on ``sys.path``; hence this one.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import re
import sys
import typing
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import typeguard
from torchtyping import patch_typeguard

__all__ = ["install"]

PACKAGE = "ebmlm"


def install() -> None:
    """Check every module of the package that is imported from here on.

    Raises:
        RuntimeError: if one was imported before, and would go unchecked.
    """
    early = [name for name in sys.modules if name.partition(".")[0] == PACKAGE]
    if early:
        raise RuntimeError(f"imported before the shape checks were on: {', '.join(early)}")
    patch_typeguard()
    setattr(typeguard, "get_type_hints", _hints)  # noqa: B010 (torchtyping does the same)
    sys.meta_path.insert(0, _Finder())


def _hints(function: Callable[..., Any], localns: dict[str, Any] | None = None) -> dict[str, Any]:
    """Type hints, without those that only a type checker can resolve (heavy imports)."""
    function = inspect.unwrap(function)
    found: dict[str, Any] = {}
    for name, annotation in inspect.get_annotations(function).items():
        alone = SimpleNamespace(__annotations__={name: annotation})
        try:
            found |= typing.get_type_hints(
                alone, function.__globals__, dict(localns or {}), include_extras=True
            )
        except NameError:
            continue
    return found


class _Finder(MetaPathFinder):
    """Finds what the other finders find, with a loader that adds the checks."""

    def __init__(self) -> None:
        self._looking = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if self._looking or fullname.partition(".")[0] != PACKAGE:
            return None
        self._looking = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._looking = False
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        shapes = sys.modules.get(f"{PACKAGE}.typing")
        names = set(getattr(shapes, "__all__", ())) - {"Scalar"}
        for name, value in list(vars(module).items()):
            if getattr(value, "__module__", None) != module.__name__:
                continue
            if inspect.isclass(value):
                _check_class(value, names)
            elif _mentions(value, names):
                setattr(module, name, typeguard.typechecked(value))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


def _check_class(cls: type, names: set[str]) -> None:
    for name, value in list(vars(cls).items()):
        if isinstance(value, classmethod) and _mentions(value.__func__, names):
            setattr(cls, name, classmethod(typeguard.typechecked(value.__func__)))
        elif isinstance(value, property) and value.fget and _mentions(value.fget, names):
            setattr(cls, name, property(typeguard.typechecked(value.fget), doc=value.__doc__))
        elif _mentions(value, names) or (
            name == "__init__" and dataclasses.is_dataclass(cls) and _mentions(cls, names)
        ):
            setattr(cls, name, typeguard.typechecked(value))


def _mentions(value: Any, names: set[str]) -> bool:
    """Whether any annotation, a string here, names a shape."""
    if not inspect.isfunction(value) and not inspect.isclass(value):
        return False
    annotations = " ".join(map(str, inspect.get_annotations(value).values()))
    return not names.isdisjoint(re.findall(r"\w+", annotations))
