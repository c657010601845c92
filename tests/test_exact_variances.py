"""The table of docs/variance.md is what its script computes, and says what the page says."""

from __future__ import annotations

import re
import runpy
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "variance.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def printed() -> str:
    main = runpy.run_path(str(ROOT / "examples" / "exact_variances.py"))["main"]
    with redirect_stdout(StringIO()) as output:
        main()
    return output.getvalue().strip()


def test_page_shows_what_is_computed(printed: str) -> None:
    shown = re.search(r"<!-- output -->\n\n(.*?)\n\n<!-- /output -->", PAGE, re.DOTALL)
    assert shown is not None and shown.group(1) == printed


def test_one_estimator_under_three_names(printed: str) -> None:
    rows = {line.split(" | ")[1]: line.split(" | ")[2:] for line in printed.splitlines()[2:]}
    assert rows["any log Z, RLOO"] == rows["energy + KL to the base, RLOO"] == rows["log-variance"]
    assert rows["log-variance"][:2] == ["exact", "exact"]
    assert rows["others' log Z, RLOO"][0] != "exact"
