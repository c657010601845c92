"""The table of docs/variance.md: as printed, and true of what it says."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "examples" / "exact_variances.py"))


@pytest.fixture(scope="module")
def rows(script: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """Of groups of three, which are fewer."""
    return {(row.aim, row.way): row for row in script["measured"](3)}


def test_the_page_shows_what_is_printed(script: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "variance.md").read_text(encoding="utf-8")
    assert script["table"](script["measured"]()) in page


def test_what_declares_no_bias_has_none(rows: dict[tuple[str, str], Any]) -> None:
    for (aim, way), row in rows.items():
        cancelled = aim == "reverse KL" and way == "RLOO, Z of the group"
        estimated = "Z of" in way and not cancelled
        assert (row.bias > 0.1) if estimated else (row.bias < 1e-10)
        assert row.variance > 0


def test_ways_that_are_one_have_one_variance(rows: dict[tuple[str, str], Any]) -> None:
    def variance(way: str) -> float:
        return float(rows["reverse KL", way].variance)

    left_out = variance("RLOO, energy/T + KL")
    for way in ("RLOO, known Z", "RLOO, Z of the group", "log-variance, on policy"):
        assert variance(way) == pytest.approx(left_out, abs=1e-10)
    plain = variance("REINFORCE, energy/T + KL")
    assert variance("trajectory balance, Z = 1") == pytest.approx(plain, abs=1e-10)
    assert plain != pytest.approx(left_out, rel=0.1)
