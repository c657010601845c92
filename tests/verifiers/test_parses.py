"""Code that parses: what counts of a completion, and what of it is wrong for good."""

from __future__ import annotations

import ast

import pytest

from ebmlm.data import StandardLibrary
from ebmlm.errors import UserError
from ebmlm.texts import Attempt
from ebmlm.verifiers import ParsesAsPython

HEAD = 'def f(a):\n    """Doc."""\n'


def attempt(completion: str, prompt: str = HEAD) -> Attempt:
    return Attempt(prompt, completion)


@pytest.mark.parametrize(
    ("completion", "holds", "may_hold"),
    [
        ("", False, True),
        ("    return a", True, True),
        ("    return a +", False, True),
        ("    return a\n    x = (1,", True, True),
        ("    if a:\n", False, True),
        ("    if a:\n        return 2\n    x = [1,\n 2,", True, True),
        ("    try:\n        x = 1\n", False, True),
        ("    y = 2\n    try:\n        x = 1\n", True, True),
        ("    try:\n        x = 1\n    y = 2\n", False, False),
        ("    x = g(a b\n", False, False),
        ("    y = 1\n    x = g(a b\n", False, False),
        ("    x = '''abc\n def\n", False, True),
        ("    x = 'abc\n", False, False),
        ("    x = 'abc", False, True),
        ("    return 1\n\n\nx = ) 1\n", True, True),
        ("    return 1\n\n\n@property\ndef g(a b", True, True),
        ("    with a as b, \\\n", False, True),
        ("    return 1\n    with a as b, \\\n", True, True),
        ("    x = 1\n  y = 2\n", False, False),
        ('    "a string"\n', False, True),
        ("    # a comment\n", False, True),
        ("nothing in its block = 1\n", False, True),
        ("    x = \x00\n", False, False),
        ("    x = " + "(" * 5000 + "\n", False, False),
    ],
)
def test_what_counts(completion: str, holds: bool, may_hold: bool) -> None:
    verifier = ParsesAsPython()
    assert verifier.holds(attempt(completion)) is holds
    assert verifier.may_hold(attempt(completion)) is may_hold
    assert verifier([attempt(completion)]) == [float(holds)]


def test_statements_are_counted_beyond_the_prompt() -> None:
    two = attempt("    b = a\n    return b\n")
    assert ParsesAsPython(statements=2).holds(two)
    assert not ParsesAsPython(statements=3).holds(two)
    begun = attempt("b\n    return b\n", HEAD + "    c = 1\n    b = ")
    assert ParsesAsPython(statements=2).holds(begun)


def test_prompts_without_a_function_count_whole() -> None:
    assert ParsesAsPython().holds(attempt("x = 1\ny = 2\n", ""))
    assert not ParsesAsPython().may_hold(attempt("x = 1\ny 2\n", ""))


def test_beginnings_of_real_code_may_hold_and_what_may_not_never_does() -> None:
    """Cut anywhere, code that parses is not wrong; and what is wrong once stays so."""
    verifier = ParsesAsPython()
    texts = [each.text for each in StandardLibrary().read().documents if len(each.text) < 2500]
    tried = 0
    for text in texts[:40]:
        tree = ast.parse(text)
        if any(isinstance(node, ast.FunctionDef) for node in tree.body):
            continue
        tried += 1
        for cut in range(0, len(text), max(1, len(text) // 25)):
            assert verifier.may_hold(attempt(text[:cut], "")), text[:cut][-80:]
    assert tried >= 10
    broken = "    x = 1\n    y = = 2\n    if x:\n        return y\n"
    first = next(n for n in range(len(broken)) if not verifier.may_hold(attempt(broken[:n])))
    assert not any(verifier.may_hold(attempt(broken[:n])) for n in range(first, len(broken)))


def test_fewer_than_no_statements_are_refused() -> None:
    with pytest.raises(UserError, match="statements is -1"):
        ParsesAsPython(statements=-1)
