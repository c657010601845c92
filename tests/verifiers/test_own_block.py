"""Where a completed function ends."""

from __future__ import annotations

import pytest

from ebmlm.verifiers import own_block

PROMPT = 'import os\n\n\ndef f(x):\n    """Do."""\n'
METHOD = "class A:\n    def other(self):\n        pass\n\n    async def f(self):"


@pytest.mark.parametrize(
    ("before", "completion", "kept"),
    [
        (PROMPT, "    return x\n", "    return x\n"),
        (PROMPT, "    return x", "    return x"),
        (PROMPT, "    return x\n\n\ndef g():\n    pass\n", "    return x\n"),
        (PROMPT, "    return x\nThis isn't code\n", "    return x\n"),
        (PROMPT, "    return x\n# Test\n@decorated\nclass B: ...\n", "    return x\n"),
        # What looks like the end, inside of brackets, strings and continued lines.
        (PROMPT, "    y = [\n1,\n]\n    return y\nz\n", "    y = [\n1,\n]\n    return y\n"),
        (PROMPT, '    y = """\na\n"""\n    return y\nz\n', '    y = """\na\n"""\n    return y\n'),
        (PROMPT, "    y = 1 + \\\n2\n    return y\nz\n", "    y = 1 + \\\n2\n    return y\n"),
        # A comment at the margin ends nothing by itself.
        (PROMPT, "    y = 1\n# note\n    return y\nz\n", "    y = 1\n# note\n    return y\n"),
        (PROMPT, "    if x:\n        return 1\n    else:\n        return 2\nz\n",
         "    if x:\n        return 1\n    else:\n        return 2\n"),
        (PROMPT, "    def f():\n        return 1\n    return f\nz\n",
         "    def f():\n        return 1\n    return f\n"),
        # Begun in the middle of a line.
        ("def f(x):", " return x\nz\n", " return x\n"),
        ("def f(x):\n    y =", " 3\n    return y\nz\n", " 3\n    return y\n"),
        ("def f(x):\n    return [", "\n1]\nz\n", "\n1]\n"),
        (PROMPT.rstrip(), "\n    return x\n\nz\n", "\n    return x\n"),
        # A method ends where the class goes on.
        (METHOD, "\n        return 1\n\n    def g(self):\n        pass\n", "\n        return 1\n"),
        # The end is there at once: nothing of it is the function's.
        (PROMPT, "z = 1\n", ""),
        # No such function, or nothing that can be read: all is kept.
        ("x = 1\n", "def f(): pass\nz\n", "def f(): pass\nz\n"),
        (PROMPT, "    return '''\nz\n", "    return '''\nz\n"),
        (PROMPT, "", ""),
    ],
)  # fmt: skip
def test_block(before, completion, kept):
    assert own_block(before, "A.f" if before is METHOD else "f", completion) == kept


def test_the_last_definition_counts():
    before = "def f():\n    pass\n\nclass A:\n    def f(self):\n"
    assert own_block(before, "A.f", "        return 1\n    x = 2\n") == "        return 1\n"


def test_a_name_is_taken_whole():
    assert own_block("def f2():\n", "f", "    pass\nz\n") == "    pass\nz\n"
