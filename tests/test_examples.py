"""The example of the tutorial runs, and the tutorial shows its code and what it prints."""

from __future__ import annotations

import re
import runpy
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "examples" / "estimator_of_your_own.py"
PAGE = (ROOT / "docs" / "tutorials" / "estimator.md").read_text(encoding="utf-8")
OUTPUT = re.compile(r"^<!-- output -->\n\n```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def printed() -> list[str]:
    """Lines, without the blanks that rows of a table may end in."""
    main = runpy.run_path(str(SCRIPT))["main"]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as output:
        patch.delenv("FORCE_COLOR", raising=False)
        main()
    return [line.rstrip() for line in output.getvalue().splitlines()]


def test_the_kit_finds_the_bias_and_proves_the_mended_estimator(printed: list[str]) -> None:
    broken = "breaks unbiased, constants_vanish_in_expectation, baseline_excludes_its_own_sample"
    assert printed.count(broken) == 2
    outcomes = [line.split()[:3] for line in printed if re.match(r"  (holds|as declared) ", line)]
    assert outcomes.count(["as", "declared", "constants_cancel"]) == 1
    holding = {words[1] for words in outcomes if words[0] == "holds"}
    assert {"unbiased", "baseline_excludes_its_own_sample"} < holding


def test_conclusions_follow_the_comparison(printed: list[str]) -> None:
    heads = [number for number, line in enumerate(printed) if line.startswith("exact variance")]
    assert len(heads) == 1
    rows = printed[heads[0] + 1 :]
    assert [row.startswith("- ") for row in rows] == [False] * 4 + [True] * 4


def test_page_shows_what_is_printed(printed: list[str]) -> None:
    shown = "\n".join(OUTPUT.findall(PAGE)).splitlines()
    assert shown == printed, f"paste what {SCRIPT.name} prints into the page"


def test_page_shows_every_marked_part_of_the_script() -> None:
    names = re.findall(r"\[start:(.+)\]$", SCRIPT.read_text(encoding="utf-8"), re.MULTILINE)
    shown = re.findall(r'^--8<-- "examples/(.+)"$', PAGE, re.MULTILINE)
    assert shown == [f"{SCRIPT.name}:{name}" for name in names]
