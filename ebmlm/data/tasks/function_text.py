"""A function with doctests, and the places at which it can be cut in a prompt and the rest."""

from __future__ import annotations

import ast
import doctest
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ebmlm.data.tasks.docstrings import Documented, documented, examples_of, parsed
from ebmlm.data.tasks.packages import Module

__all__ = ["Cut", "FunctionText", "functions_of"]

# What doctest runners of these packages switch on themselves.
_ALWAYS = {"ELLIPSIS": True, "NORMALIZE_WHITESPACE": True}
_OPTION_NAMES = {flag: name for name, flag in doctest.OPTIONFLAGS_BY_NAME.items()}


@dataclass(frozen=True)
class Cut:
    """Where a completion stands in its module's text.

    Attributes:
        start: offset of its first character, a line break.
        end: offset behind its last one; white space behind that is not part of it.
        indent: white space before its first statement.
    """

    start: int
    end: int
    indent: str


@dataclass(frozen=True, eq=False)
class FunctionText:
    """A function or method with examples in its docstring, and with statements behind it.

    Attributes:
        module: where it stands.
        found: its definition and docstring.
    """

    module: Module
    found: Documented

    @property
    def name(self) -> str:
        """Its qualified name."""
        return self.found.name

    @property
    def node(self) -> ast.FunctionDef | ast.AsyncFunctionDef:
        """Its definition."""
        assert isinstance(self.found.node, ast.FunctionDef | ast.AsyncFunctionDef)
        return self.found.node

    @property
    def line(self) -> int:
        """The line it begins in, decorators included, from 1."""
        return min([self.node.lineno, *(each.lineno for each in self.node.decorator_list)])

    @property
    def body(self) -> list[ast.stmt]:
        """The statements behind the docstring."""
        return self.node.body[1:]

    @property
    def last(self) -> int:
        """The line it ends in."""
        assert self.node.end_lineno is not None
        return self.node.end_lineno

    @cached_property
    def whole(self) -> int:
        """The line behind the docstring's last, from which on the whole body is missing."""
        assert self.node.body[0].end_lineno is not None
        return self.node.body[0].end_lineno + 1

    @cached_property
    def examples(self) -> list[dict[str, Any]]:
        """The examples of the docstring that are to be run, as JSON."""
        return [
            {
                "source": each.source,
                "want": each.want,
                "options": {
                    **_ALWAYS,
                    **{_OPTION_NAMES[flag]: on for flag, on in each.options.items()},
                },
                "exc_msg": each.exc_msg,
            }
            for each in examples_of(self.found.docstring)
            if not each.options.get(doctest.SKIP)
        ]

    def header(self) -> str:
        """Return the first lines of the classes it stands in, without bases."""
        return "".join(
            f"{' ' * each.col_offset}class {each.name}:\n" for each in self.found.classes
        )

    def statement_lines(self) -> list[int]:
        """Return the lines in which statements behind the docstring begin, in order."""
        nodes = (node for statement in self.body for node in ast.walk(statement))
        return sorted({node.lineno for node in nodes if isinstance(node, ast.stmt)})

    def code_lines(self) -> list[int]:
        """Return the lines behind the docstring that are neither blank nor only a comment."""
        lines = enumerate(self.module.lines[self.whole - 1 : self.last], start=self.whole)
        return [number for number, line in lines if line.strip() and line.strip()[0] != "#"]

    def cut(self, first: int) -> Cut:
        """Return where everything from the line ``first`` on stands; white space goes with it."""
        text, module = self.module.text, self.module
        start = _behind_text(text, module.upto(first))
        end = _behind_text(text, module.upto(self.last + 1))
        begun = next(line for line in self.statement_lines() if line >= first)
        line = module.lines[begun - 1]
        return Cut(start, end, line[: len(line) - len(line.lstrip())])

    def with_stub(self, first: int, statement: str) -> str:
        """Return the function with one statement in place of everything from a line on."""
        cut = self.cut(first)
        text = self.module.text[self.module.upto(self.line) : cut.start]
        return f"{self.header()}{text}\n{cut.indent}{statement}\n"

    def can_be_cut(self, first: int) -> bool:
        """Whether what is left before the line ``first`` parses with a statement in its place."""
        try:
            ast.parse(self.with_stub(first, "pass"))
        except (SyntaxError, ValueError):
            return False
        return True


def functions_of(module: Module) -> Iterator[FunctionText]:
    """Yield the functions and methods whose docstrings have an example with an answer."""
    tree = parsed(module) if ">>>" in module.text else None
    for found in documented(tree) if tree is not None else ():
        if not isinstance(found.node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        function = FunctionText(module, found)
        if not any(each["want"] for each in function.examples):
            continue
        if not function.body or function.body[0].lineno < function.whole:
            continue
        yield function


def _behind_text(text: str, place: int) -> int:
    """The place behind the last character before ``place`` that is no white space."""
    while place and text[place - 1].isspace():
        place -= 1
    return place
