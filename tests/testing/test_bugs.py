"""Deliberate bugs are found by the laws that name them, and docs/bugs.md lists them all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ebmlm.testing import BrokenLaws, check_estimator
from ebmlm.testing.bugs import Bug
from ebmlm.testing.bugs.estimators import NaiveLeaveOneOut
from ebmlm.testing.catalogue import KINDS
from ebmlm.testing.laws.proof import LawViolation
from ebmlm.testing.report import first_sentence

BUGS = [bug for kind in KINDS for bug in kind.bugs]
PAGE = Path(__file__).parents[2] / "docs" / "bugs.md"

# Those that made somebody write this kit.
REAL = {
    "shifted parent logits",
    "advantages in transposed order",
    "naive leave-one-out over pairs",
    "temperature missing in scoring",
    "last token by right-padding rule",
    "credit after the end",
    "per-micro-batch means",
    "padding inferred from token values",
}


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_the_law_that_names_it_finds_it(bug: Bug) -> None:
    with pytest.raises(LawViolation):
        bug.law(bug.make())


def test_the_catalogue_is_whole() -> None:
    names = [bug.name for bug in BUGS]
    assert len(set(names)) == len(names)
    assert set(names) >= REAL
    for kind in KINDS:
        assert {bug.law for bug in kind.bugs} <= set(kind.laws)


def test_the_page_tells_of_every_bug_and_every_law() -> None:
    """Rows of the first tables: bug, how it is made, the law that finds it."""
    text = PAGE.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([\w' -]+) \| [^|]+ \| `(\w+)` \|$", text, re.MULTILINE))
    assert rows == {bug.name: bug.law.__name__ for bug in BUGS}
    for bug in BUGS:
        assert bug.story in text
    laws = (PAGE.parent / "testing.md").read_text(encoding="utf-8")
    for kind in KINDS:
        for law in kind.laws:
            assert f"| `{law.__name__}` | {first_sentence(law)} |" in laws


def test_the_guide_shows_what_a_failure_prints() -> None:
    text = (PAGE.parent / "testing.md").read_text(encoding="utf-8")
    with pytest.raises(BrokenLaws) as caught:
        check_estimator(NaiveLeaveOneOut())
    (shown,) = re.findall(r"<!-- leave-one-out -->\n\n```text\n(.*?)```", text, re.DOTALL)
    assert shown in str(caught.value) + "\n"
