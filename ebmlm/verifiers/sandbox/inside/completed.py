"""Import a module whose source was completed, in the place of the installed one."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType

__all__ = ["forget_ourselves", "import_completed"]


def forget_ourselves() -> None:
    """Take this package out of the imported modules, as foreign code has no business with it."""
    for name in [name for name in sys.modules if name.split(".")[0] == "ebmlm"]:
        del sys.modules[name]


def import_completed(name: str, path: str, source: str) -> ModuleType:
    """Import the module ``name`` from ``source``.

    The packages above it are imported first and as ever, and meet the completed module where
    they import it.

    Args:
        name: dotted.
        path: of the installed file, which is not read.
        source: of the whole module.
    """
    package = path.rsplit("/", 1)[-1] == "__init__.py"
    sys.meta_path.insert(0, _Finder(name, path, source, package))
    for known in [known for known in sys.modules if known == name or known.startswith(f"{name}.")]:
        del sys.modules[known]
    return importlib.import_module(name)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    def __init__(self, name: str, path: str, source: str, package: bool) -> None:
        self._name = name
        self._path = path
        self._source = source
        self._package = package

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(
            fullname,
            self._path,
            loader=self,
            submodule_search_locations=[self._path.rsplit("/", 1)[0]] if self._package else None,
        )

    def is_package(self, fullname: str) -> bool:
        return self._package

    def get_source(self, fullname: str) -> str:
        return self._source
