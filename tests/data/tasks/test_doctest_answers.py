from __future__ import annotations

from collections import Counter

import pytest

from ebmlm.data.tasks import DoctestAnswers
from ebmlm.errors import UserError

MODULE = '''
"""A module.

>>> a = 1
>>> a + 1
2

Some words in between.

>>> for i in range(2):
...     print(i)
0
1
>>> [a,
...  2]
[1, 2]
"""


def f():
    """Return it.

    >>> f()
    7
    >>> f(1)
    Traceback (most recent call last):
    TypeError: f() takes 0 positional arguments
    >>> object()
    <object object at 0x7f00>
    >>> f()  # doctest: +SKIP
    8
    >>> "x" * 60
    'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'
    """
    return 7


class C:
    def m(self):
        r"""
        >>> C().m()
        1
        """
        return 1
'''


def test_sessions_and_their_answers(make_package) -> None:
    make_package("made_answers", {"m.py": MODULE})
    corpus = DoctestAnswers(["made_answers"]).read()
    loop = ">>> for i in range(2):\n...     print(i)\n0\n1\n"
    assert [(pair.prompt, pair.completion) for pair in corpus.documents] == [
        (">>> a = 1\n>>> a + 1\n", "2"),
        (f">>> a = 1\n>>> a + 1\n2\n{loop}>>> [a,\n...  2]\n", "[1, 2]"),
        (">>> f()\n", "7"),
        (">>> C().m()\n", "1"),
    ]
    assert {pair.key for pair in corpus.documents} == {"made_answers/m.py"}
    assert corpus.documents[3].columns == {
        "source": "C().m()\n",
        "want": "1",
        "function": "C.m",
        "module": "made_answers.m",
    }
    assert corpus.skipped == {
        "answer of several lines": 1,
        "exception": 1,
        "answer that is a pattern or an address": 1,
        "skipped by its own option": 1,
        "long answer": 1,
    }


def test_lengths_are_kept(make_package) -> None:
    make_package("made_lengths", {"m.py": '"""\n>>> 1 + 1\n2\n>>> 10 * 10\n100\n"""\n'})
    corpus = DoctestAnswers(["made_lengths"], longest_prompt=12).read()
    assert [pair.completion for pair in corpus.documents] == ["2"]
    assert corpus.skipped == {"long prompt": 1}
    corpus = DoctestAnswers(["made_lengths"], longest_answer=1).read()
    assert [pair.completion for pair in corpus.documents] == ["2"]
    assert corpus.skipped == {"long answer": 1}


def test_copied_docstrings_are_taken_once_and_bad_files_counted(make_package) -> None:
    session = '"""\n>>> 1 + 1\n2\n"""\n'
    make_package(
        "made_copies",
        {
            "a.py": session,
            "b.py": session,
            "bad.py": "# >>> 1\ndef f(:\n",
            "coded.py": b"# coding: nonsense\n",
            "tests/test_a.py": '"""\n>>> 5 + 5\n10\n"""\n',
        },
    )
    corpus = DoctestAnswers(["made_copies"]).read()
    assert [(pair.key, pair.completion) for pair in corpus.documents] == [("made_copies/a.py", "2")]
    assert corpus.skipped == {
        "repeated": 1,
        "file that does not parse": 1,
        "undecodable file": 1,
    }


def test_real_packages_give_the_same_items_in_the_same_order() -> None:
    source = DoctestAnswers(["toolz", "more_itertools"])
    corpus, again = source.read(), source.read()
    assert corpus.documents == again.documents
    assert len(corpus.documents) > 300
    keys = Counter(pair.key.split("/")[0] for pair in corpus.documents)
    assert list(keys) == ["toolz", "more_itertools"]
    for pair in corpus.documents:
        assert isinstance(pair.prompt, str)
        assert pair.prompt.endswith("\n")
        # The last statement is asked, not answered.
        shown = str(pair.columns["source"]).replace("\n", "\n... ").removesuffix("\n... ")
        shown = "\n".join(line.rstrip() for line in f">>> {shown}".split("\n"))
        assert pair.prompt.rstrip("\n").endswith(shown.rstrip())
        assert pair.completion == pair.columns["want"]
    # Two packages read together are the two read apart.
    apart = DoctestAnswers(["toolz"]).read().documents
    assert list(corpus.documents)[: len(apart)] == list(apart)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"packages": []}, "packages is empty"),
        ({"packages": "toolz"}, r"give a list, such as \['toolz'\]"),
        ({"longest_prompt": 0}, "longest_prompt is 0"),
        ({"longest_answer": -1}, "longest_answer is -1"),
    ],
)
def test_bad_options_are_refused_when_built(options: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        DoctestAnswers(**options)  # type: ignore[arg-type]


def test_a_package_without_answers_is_refused(make_package) -> None:
    make_package("made_nothing", {})
    with pytest.raises(UserError, match="no usable doctest answer in made_nothing"):
        DoctestAnswers(["made_nothing"]).read()
