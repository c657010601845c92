"""Which folders a run must see to run Python at all."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

__all__ = ["readable_folders", "search_path"]

_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")


def readable_folders(packages: Iterable[Path] = ()) -> list[str]:
    """Return the folders of the Python installation and of shared libraries, parents alone.

    Args:
        packages: further folders with modules.
    """
    paths = sysconfig.get_paths()
    wanted = [*_LIBRARIES, *_package_folders(), *(str(path.absolute()) for path in packages)]
    wanted += [paths["stdlib"], paths["platstdlib"], f"{sys.base_prefix}/lib"]
    if sys.platform == "linux":
        return _parents_alone(wanted)
    return _parents_alone([*wanted, sys.base_prefix, sys.prefix])


def search_path(packages: Iterable[Path] = ()) -> list[str]:
    """Return a run's module search path: standard library, installed packages, then ``packages``.

    Folders that an editable installation adds are not on it.
    """
    paths = sysconfig.get_paths()
    compiled = [path for path in sys.path if path.endswith("lib-dynload")]
    library = [paths["stdlib"], f"{paths['stdlib']}/lib-dynload", *compiled]
    folders = [*library, *_package_folders(), *(str(path.absolute()) for path in packages)]
    return [folder for folder in dict.fromkeys(folders) if os.path.isdir(folder)]


def _package_folders() -> list[str]:
    paths = sysconfig.get_paths()
    found = [paths["purelib"], paths["platlib"], *site.getsitepackages()]
    if site.ENABLE_USER_SITE:
        found.append(site.getusersitepackages())
    # Some installations have a folder of packages that only their own site module knows.
    found += [path for path in sys.path if path.endswith("-packages")]
    return found


def _parents_alone(paths: Iterable[str]) -> list[str]:
    """Return each folder under the names it is known by, without those inside another."""
    known = {name for path in paths for name in (os.path.abspath(path), os.path.realpath(path))}
    kept: list[str] = []
    for path in sorted(name for name in known if os.path.isdir(name)):
        if not any(path.startswith(f"{parent}/") for parent in kept):
            kept.append(path)
    return kept
