from __future__ import annotations

import json
from pathlib import Path

import pytest

from ebmlm.data.tasks import (
    FunctionsWithDoctests,
    LastLines,
    LastShare,
    Missing,
    WholeBody,
    verified,
)
from ebmlm.errors import UserError

MODULE = '''import functools


def double(x):
    """Twice as much.

    >>> double(2)
    4
    >>> double("a" * 30)  # doctest: +ELLIPSIS
    'aaa...aaa'
    """
    y = x
    return y * 2


class Stack:
    def push(self, x):
        """
        >>> stack = Stack()
        >>> stack.push(1)
        >>> stack.items
        [1]
        >>> stack.push(None)
        Traceback (most recent call last):
        ValueError: nothing
        """
        if x is None:
            raise ValueError("nothing")

        self.items = [x]

    @functools.cached_property
    def both(self):
        """
        >>> Child().both
        ('parent', 'child')
        """
        return ("parent", "child")


class Child(Stack):
    @functools.lru_cache
    def which(self):
        """
        >>> Child().which()
        'child'
        """
        _ = super().both
        return "child"


def wrong():
    """
    >>> wrong()
    2
    """
    return 1


def says_nothing():
    """
    >>> says_nothing()
    >>> 1
    1
    """
    print(end="")


def ends_in_nothing():
    """
    >>> ends_in_nothing()
    hello
    """
    print("hello")
    return None


def unordered():
    """
    >>> unordered()
    {'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'}
    """
    return set("abcdefgh")


def endless():
    """
    >>> endless()
    3
    """
    x = 0
    while x < 3:
        x += 1
    return x
'''


@pytest.fixture
def package(make_package, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(verified, "_SECONDS", 2)
    return make_package("made_functions", {"sub/m.py": MODULE})


def names(missing: Missing) -> list[str]:
    corpus = FunctionsWithDoctests(["made_functions"], missing).read()
    return [str(pair.columns["function"]) for pair in corpus.documents]


def test_only_functions_that_pass_and_matter_are_kept(package: str) -> None:
    whole = ["double", "Stack.push", "Stack.both", "Child.which", "ends_in_nothing", "endless"]
    assert names(WholeBody()) == whole
    # Without its last line this one still says hello; and the loop's end is inside the loop.
    assert names(LastLines(1)) == [name for name in whole if name != "ends_in_nothing"]


def test_a_pair_is_a_module_cut_in_three(package: str, tmp_path: Path) -> None:
    source = FunctionsWithDoctests([package], LastLines(1))
    corpus = source.read()
    for pair in corpus.documents:
        assert pair.key == "made_functions/sub/m.py"
        columns = pair.columns
        assert f"{columns['before']}{pair.completion}{columns['after']}" == MODULE
        assert columns["module"] == "made_functions.sub.m"
        assert Path(columns["path"]).read_text() == MODULE
        json.dumps(columns["examples"])
    double, push = corpus.documents[:2]
    assert double.prompt == MODULE[MODULE.index("def double") : MODULE.index("\n    return y * 2")]
    assert double.completion == "\n    return y * 2"
    assert [example["options"] for example in double.columns["examples"]] == [
        {"ELLIPSIS": True, "NORMALIZE_WHITESPACE": True}
    ] * 2
    # A method stands below its class; the blank line before what is missing belongs to that.
    assert isinstance(push.prompt, str)
    assert push.prompt.startswith("class Stack:\n    def push(self, x):\n")
    assert push.prompt.endswith('raise ValueError("nothing")')
    assert push.completion == "\n\n        self.items = [x]"
    assert push.columns["examples"][3]["exc_msg"] == "ValueError: nothing\n"
    assert corpus.documents == source.read().documents


def test_what_was_run_is_kept_and_not_run_again(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    source = FunctionsWithDoctests([package], LastShare())
    first = source.read()
    assert "running the doctests of 9 functions of made_functions" in capsys.readouterr().err
    monkeypatch.setattr(verified, "judge", lambda places: pytest.fail("run again"))
    assert source.read() == first
    (tmp_path / "cache" / "tasks" / "verified.json").write_text("{half a")
    with pytest.raises(BaseException, match="run again"):
        source.read()


def test_lengths_are_kept(package: str) -> None:
    corpus = FunctionsWithDoctests([package], longest_prompt=130, longest_completion=40).read()
    assert {pair.columns["function"] for pair in corpus.documents} == {
        "Stack.both",
        "ends_in_nothing",
    }
    assert corpus.skipped["long prompt"] == 2
    assert corpus.skipped["long completion"] == 2


def test_a_package_that_cannot_be_imported_has_no_items(make_package) -> None:
    text = MODULE + "\nraise ImportError\n"
    make_package("made_broken", {"m.py": text})
    with pytest.raises(UserError, match="no usable function with doctests in made_broken"):
        FunctionsWithDoctests(["made_broken"]).read()


@pytest.mark.parametrize("missing", [WholeBody(), LastLines(2), LastShare(0.5)])
def test_the_shipped_index_knows_the_packages_of_this_environment(
    missing: Missing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EBMLM_CACHE", str(tmp_path))
    packages = ["more_itertools", "toolz", "boltons", "pydash", "sortedcontainers"]
    source = FunctionsWithDoctests(packages, missing)
    known = verified.shipped_verdicts()
    places, _ = source.places()
    if any(known.of(*place) is None for place in places):
        pytest.skip("other versions than in constraints.txt")
    corpus = source.read()
    assert len(corpus.documents) > 550
    assert not list(tmp_path.iterdir())
    for pair in corpus.documents:
        assert isinstance(pair.prompt, str) and isinstance(pair.completion, str)
        assert len(pair.prompt) < 2500
        assert not pair.prompt[-1].isspace()
        assert pair.completion.startswith("\n")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"packages": ()}, "packages is empty"),
        ({"longest_prompt": 0}, "longest_prompt is 0"),
        ({"longest_completion": 0}, "longest_completion is 0"),
    ],
)
def test_bad_options_are_refused_when_built(options: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        FunctionsWithDoctests(**options)  # type: ignore[arg-type]
