"""Where a completed function ends: models go on writing after it."""

from __future__ import annotations

import io
import re
import tokenize

__all__ = ["own_block"]

_BETWEEN = {tokenize.NEWLINE, tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT}


def own_block(before: str, function: str, completion: str) -> str:
    """Return the part of a completion that belongs to the function's own block.

    The block ends before the first statement that is indented no further than the function's
    ``def``, as Python reads it: what stands in brackets, in strings and in comments ends nothing.
    Decorators and comments before that statement go too. Where ``before`` has no such ``def``, or
    where the completion cannot be read as Python up to the end of the block, all of it is kept.

    Args:
        before: the text that the completion follows.
        function: name, which may be qualified (``Class.method``); its last ``def`` counts.
        completion: what was written.
    """
    name = re.escape(function.rsplit(".", 1)[-1])
    found = list(re.finditer(rf"^([ \t]*)(?:async[ \t]+)?def[ \t]+{name}\b", before, re.MULTILINE))
    if not found:
        return completion
    start, indent = found[-1].start(), len(found[-1].group(1).expandtabs())
    text = before[start:] + completion
    lines = text.splitlines(keepends=True)
    # The line in which the completion begins belongs to the text before it.
    first = before[start:].count("\n") + (0 if before.endswith("\n") else 1)
    end = _end(text, lines, first, indent)
    if end is None:
        return completion
    return "".join(lines[:end])[len(before) - start :]


def _end(text: str, lines: list[str], first: int, indent: int) -> int | None:
    """Index of the line that ends the block, counted from the function's own."""
    begins, last = True, first
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.ENDMARKER:
                return None
            if token.type in _BETWEEN:
                begins = begins or token.type == tokenize.NEWLINE
                continue
            row = token.start[0] - 1
            column = len(lines[row][: token.start[1]].expandtabs()) if begins else indent + 1
            if begins and row >= first and column <= indent:
                return last
            begins = False
            last = max(first, token.end[0])
    except (tokenize.TokenError, SyntaxError):
        return None
    return None
