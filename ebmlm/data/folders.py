"""Listing the files of a folder in an order that is the same on every machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

__all__ = ["files_under", "is_hidden"]


def is_hidden(relative: str) -> bool:
    """Return whether the last part of a path begins with a dot."""
    return relative.rpartition("/")[2].startswith(".")


def files_under(folder: Path, leave_out: Callable[[str], bool]) -> tuple[list[str], int]:
    """Return the files below ``folder``, as sorted relative paths with ``/``.

    Links to folders are not followed, so that a loop of links ends.

    Args:
        folder: where to begin.
        leave_out: called with the relative path of every file and folder; a folder for which it
            is true is not entered.

    Returns:
        The relative paths, and how many files and folders were left out.
    """
    found: list[str] = []
    left_out = 0
    for where, folders, files in os.walk(folder):
        prefix = Path(where).relative_to(folder).as_posix()
        prefix = "" if prefix == "." else prefix + "/"
        kept = [name for name in folders if not leave_out(prefix + name)]
        wanted = [prefix + name for name in files if not leave_out(prefix + name)]
        left_out += len(folders) - len(kept) + len(files) - len(wanted)
        # os.walk enters what is left in this very list.
        folders[:] = kept
        found += wanted
    return sorted(found), left_out
