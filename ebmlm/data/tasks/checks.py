"""What every task refuses when it is built."""

from __future__ import annotations

from collections.abc import Sequence

from ebmlm.errors import UserError

__all__ = ["check_lengths", "check_packages"]


def check_packages(packages: Sequence[str] | None) -> None:
    """Refuse an empty list of packages, and a text in its place.

    Raises:
        UserError: if so.
    """
    if isinstance(packages, str):
        raise UserError(f"packages is the text {packages!r}; give a list, such as ['{packages}']")
    if packages is not None and not packages:
        raise UserError("packages is empty: name at least one, or leave it out for all of ours")


def check_lengths(**lengths: int) -> None:
    """Refuse a length below 1.

    Raises:
        UserError: if so, naming the option.
    """
    for name, length in lengths.items():
        if length < 1:
            raise UserError(f"{name} is {length}; it must be at least 1")
