"""Docstrings and the examples in them, found by parsing and never by importing."""

from __future__ import annotations

import ast
import doctest
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from ebmlm.data.tasks.packages import Module

__all__ = ["Documented", "documented", "examples_of", "parsed"]

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, eq=False)
class Documented:
    """Something with a docstring.

    Attributes:
        name: its qualified name; empty for the module itself.
        node: the definition, or the module.
        docstring: the docstring, indented as it stands there.
        classes: the classes it stands in, from the outermost.
    """

    name: str
    node: ast.Module | Definition
    docstring: str
    classes: tuple[ast.ClassDef, ...] = ()


def parsed(module: Module) -> ast.Module | None:
    """Return a module's syntax tree, None if this Python cannot parse it."""
    try:
        with warnings.catch_warnings():
            # Escapes that a later Python will refuse are the package's affair.
            warnings.simplefilter("ignore")
            return ast.parse(module.text)
    except (SyntaxError, ValueError, RecursionError):
        return None


def documented(tree: ast.Module) -> Iterator[Documented]:
    """Yield the module, its functions and classes and their methods, where there is a docstring.

    What is defined inside a function is not looked at: it cannot be reached from outside.
    """
    yield from _documented(tree, "", ())


def _documented(
    node: ast.Module | Definition, name: str, classes: tuple[ast.ClassDef, ...]
) -> Iterator[Documented]:
    docstring = ast.get_docstring(node, clean=False)
    if docstring is not None:
        yield Documented(name, node, docstring, classes)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return
    inside = (*classes, node) if isinstance(node, ast.ClassDef) else classes
    for child in node.body:
        if isinstance(child, Definition):
            yield from _documented(child, f"{name}.{child.name}" if name else child.name, inside)


def examples_of(docstring: str) -> list[doctest.Example]:
    """Return the examples of a docstring, none if ``doctest`` cannot make sense of it."""
    try:
        return doctest.DocTestParser().get_examples(docstring)
    except ValueError:
        return []
