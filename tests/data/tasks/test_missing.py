from __future__ import annotations

from pathlib import Path

import pytest

from ebmlm.data.tasks import LastLines, LastShare, Missing, WholeBody
from ebmlm.data.tasks.function_text import FunctionText, functions_of
from ebmlm.data.tasks.packages import Module
from ebmlm.errors import UserError

SOURCE = '''class A:
    @staticmethod
    def f(x):
        """
        >>> A.f(1)
        2
        """

        # A comment.
        if x:
            y = x + 1

        else:
            y = (
                0
            )
        return y  # the end


def g():
    """
    >>> g()
    1
    """
    try:
        return 1
    finally:
        pass
'''


def functions(source: str = SOURCE) -> list[FunctionText]:
    return list(functions_of(Module("p", "m.py", Path("m.py"), source)))


@pytest.mark.parametrize(
    ("missing", "completion"),
    [
        (LastLines(1), "\n        return y  # the end"),
        # The last two, three and four lines begin inside a statement, so fewer are missing.
        (LastLines(2), "\n        return y  # the end"),
        (
            LastLines(4),
            "\n            y = (\n                0\n            )\n        return y  # the end",
        ),
        (LastShare(0.1), "\n        return y  # the end"),
        (LastLines(8), None),
        (LastLines(100), None),
        (LastShare(1.0), None),
        (WholeBody(), None),
    ],
)
def test_what_is_missing(missing: Missing, completion: str | None) -> None:
    function = functions()[0]
    first = missing.first(function)
    assert first is not None
    cut = function.cut(first)
    whole = SOURCE[SOURCE.index("\n\n        # A comment.") : SOURCE.index("\n\n\ndef g")]
    assert SOURCE[cut.start : cut.end] == (whole if completion is None else completion)
    assert cut.indent == ("            " if "(" in (completion or "") else "        ")


def test_a_cut_that_cannot_be_parsed_moves_on_or_is_none() -> None:
    function = functions()[1]
    # Without "finally" a "try" is no statement: the only cut is in the last line.
    assert LastLines(3).first(function) == function.last
    one = functions(
        'def h():\n    """\n    >>> h()\n    1\n    """\n    return (\n        1\n    )\n'
    )[0]
    assert LastLines(2).first(one) is None
    assert LastLines(3).first(one) == one.whole


def test_a_stub_stands_in_the_place_of_what_is_missing() -> None:
    function = functions()[0]
    assert function.with_stub(function.whole, "pass") == (
        'class A:\n    @staticmethod\n    def f(x):\n        """\n        >>> A.f(1)\n        2\n'
        '        """\n        pass\n'
    )


@pytest.mark.parametrize("share", [0.3, 0.6, 0.7])
def test_a_share_is_rounded_up_but_not_by_rounding_errors(share: float) -> None:
    body = "".join(f"    x{number} = 0\n" for number in range(10))
    function = functions(f'def h():\n    """\n    >>> h()\n    1\n    """\n{body}')[0]
    assert LastShare(share).first(function) == function.last + 1 - round(share * 10)


@pytest.mark.parametrize(
    "source",
    [
        'def h():\n    """\n    >>> h()\n    """\n    return None\n',  # nothing is answered
        'def h():\n    """\n    >>> h()\n    1\n    """\n',  # there is no body
        'def h():\n    """\n    >>> h()\n    1\n    """; return 1\n',  # nor a line of its own
        'def h():\n    """\n    >>> h()  # doctest: +SKIP\n    1\n    """\n    return 1\n',
        'def h():\n    """\n    >>>h()\n    1\n    """\n    return 1\n',  # doctest refuses it
        'def h():\n    def i():\n        """\n        >>> 1\n        1\n        """\n        i\n',
    ],
)
def test_functions_without_a_question_are_none(source: str) -> None:
    assert functions(source) == []


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(UserError, match="lines is 0"):
        LastLines(0)
    with pytest.raises(UserError, match=r"share is 1\.5"):
        LastShare(1.5)
    with pytest.raises(UserError, match="share is 0"):
        LastShare(0)
