"""Installed packages: which Python files do they have, and where? Nothing is imported."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import sysconfig
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ebmlm.data.decoding import UnusableFileError
from ebmlm.data.folders import files_under
from ebmlm.data.standard_library import StandardLibrary, read_source
from ebmlm.data.suggestions import nearest
from ebmlm.errors import UserError

__all__ = ["PYTHON", "Module", "installed", "package_folder", "package_version", "python_modules"]

PYTHON = "python"
"""The name by which the standard library stands beside packages."""

# Tests and examples of packages are another kind of text, and often copies of one another.
_FOLDERS = frozenset({"test", "tests", "testing", "_pytest", "__pycache__", "node_modules"})


@dataclass(frozen=True)
class Module:
    r"""One Python file of an installed package.

    Attributes:
        package: the name it was asked for by, such as ``sympy``; ``python`` for the standard
            library.
        relative: its path inside the package, with ``/``.
        path: the file.
        text: its text, with ``\n`` line ends.
    """

    package: str
    relative: str
    path: Path
    text: str

    @property
    def key(self) -> str:
        """What a split by file looks at: the same on every machine."""
        return f"{self.package}/{self.relative}"

    @property
    def name(self) -> str:
        """The dotted name that the module is imported by."""
        parts = self.relative.removesuffix(".py").split("/")
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        return ".".join(parts if self.package == PYTHON else [self.package, *parts])

    @cached_property
    def lines(self) -> list[str]:
        r"""Its lines with their ends, cut at ``\n`` alone as ``ast`` counts them."""
        lines = self.text.split("\n")
        return [line + "\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])

    def upto(self, line: int) -> int:
        """Return the offset in ``text`` at which a line (from 1) begins."""
        return self._starts[line - 1]

    @cached_property
    def _starts(self) -> list[int]:
        starts = [0]
        for line in self.lines:
            starts.append(starts[-1] + len(line))
        return starts


def installed(names: Sequence[str]) -> tuple[str, ...]:
    """Return those of some packages that are installed, and ``python``, in the same order."""
    return tuple(name for name in names if name == PYTHON or _found(name) is not None)


def package_folder(name: str) -> Path:
    """Return the folder of an installed package, or the file of a package that is one file.

    Raises:
        UserError: if there is no such package.
    """
    if not name.isidentifier():
        raise UserError(
            f"package {name!r} is not a name that Python imports by; write it as in an import"
            f" statement, such as {name.replace('-', '_')!r}"
        )
    found = _found(name)
    if found is None:
        from ebmlm.data.tasks.defaults import PACKAGES

        raise UserError(
            f"package {name!r} is not installed{nearest(name, PACKAGES)};"
            f" install it, or every package of our tasks by pip install 'ebmlm[tasks]'"
        )
    return found


def package_version(name: str) -> str:
    """Return the version of the installed distribution that brings a package, or nothing."""
    if name == PYTHON:
        return platform.python_version()
    for distribution in importlib.metadata.packages_distributions().get(name, [name]):
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""


def python_modules(names: Sequence[str]) -> tuple[list[Module], Counter[str]]:
    """Read the Python files of packages, tests left out, in the order of names and then of paths.

    Returns:
        The modules, and how many files were left out by reason.

    Raises:
        UserError: for a package that is not installed, or named twice.
    """
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise UserError(f"package {twice[0]!r} is named twice in packages; name it once")
    modules: list[Module] = []
    skipped: Counter[str] = Counter()
    for name in names:
        if name == PYTHON:
            library = StandardLibrary().read()
            folder = Path(sysconfig.get_paths()["stdlib"])
            modules += [
                Module(name, document.key, folder / document.key, document.text)
                for document in library.documents
            ]
            skipped.update(library.skipped)
            continue
        folder = package_folder(name)
        for path, relative in _files(folder):
            try:
                modules.append(Module(name, relative, path, read_source(path)))
            except UnusableFileError as error:
                skipped[f"{error.reason} file"] += 1
    return modules, skipped


def _files(folder: Path) -> list[tuple[Path, str]]:
    if folder.is_file():
        return [(folder, "__init__.py")]
    relatives, _ = files_under(folder, lambda relative: relative.rpartition("/")[2] in _FOLDERS)
    return [(folder / each, each) for each in relatives if each.endswith(".py")]


def _found(name: str) -> Path | None:
    """The folder or file that an import would read; the top level is found without importing."""
    try:
        found = importlib.util.find_spec(name) if name.isidentifier() else None
    except (ImportError, ValueError):
        return None
    if found is None:
        return None
    if found.submodule_search_locations:
        return Path(next(iter(found.submodule_search_locations)))
    is_source = found.origin is not None and found.origin.endswith(".py")
    return Path(found.origin) if is_source and found.origin else None
