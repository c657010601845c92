"""Docstrings name objects by Sphinx's roles; mkdocstrings reads Markdown. This translates.

``:class:`Energy``` becomes a link to where that name leads from the docstring's own scope, or
plain code where it leads out of the package. ``docs/mathematics.md, eq. 3`` becomes a link to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|func|meth|mod|attr|data|exc|obj):`(~?)([\w.]+)`")


_EQUATION = re.compile(r"docs/mathematics\.md,\s+eq\. (\d+)")


class SphinxRoles(griffe.Extension):
    """Rewrites the roles in every docstring of a package, once all of it is loaded."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """See griffe.Extension."""
        for thing in _everything(pkg):
            if thing.docstring is not None:
                thing.docstring.value = _translated(thing.docstring.value, thing)


def _everything(thing: griffe.Object) -> Iterator[griffe.Object]:
    yield thing
    for member in thing.members.values():
        if isinstance(member, griffe.Object):
            yield from _everything(member)


def _translated(text: str, scope: griffe.Object) -> str:
    def link(role: re.Match[str]) -> str:
        shortened, name = role.groups()
        shown = name.rsplit(".", 1)[-1] if shortened else name
        target = _target(name, scope)
        return f"`{shown}`" if target is None else f"[`{shown}`][{target}]"

    # From any page in docs/api/, by directory URLs.
    text = _EQUATION.sub(r'<a href="../../mathematics/#eq-\1">mathematics, eq. \1</a>', text)
    return _ROLE.sub(link, text)


def _target(name: str, scope: griffe.Object) -> str | None:
    """Return the full path of what ``name`` means in ``scope``, if it is in the same package."""
    package = scope.package
    first, *rest = name.split(".")
    try:
        path = name if first == package.name else ".".join([scope.resolve(first), *rest])
        return package[path.removeprefix(f"{package.name}.")].canonical_path
    except (griffe.NameResolutionError, KeyError, ValueError):
        return None
