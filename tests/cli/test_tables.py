from __future__ import annotations

from typing import Any

from rich.console import Console

from ebmlm.cli.tables import (
    comparison_table,
    completion_table,
    difference_table,
    figure_table,
    labelled,
)
from ebmlm.evaluation import Figure, WrittenCompletion


def lines(table: Any) -> list[str]:
    console = Console(width=160)
    with console.capture() as captured:
        console.print(table)
    return [" ".join(line.split()) for line in captured.get().splitlines()]


def row(table: Any, label: str) -> str:
    (found,) = [line for line in lines(table) if label in line]
    return found


def test_the_demos_comparison() -> None:
    names = ("cross_entropy", "feature_matching_loss", "alignment", "diversity")
    summary = {
        "before": dict.fromkeys(names, 2.0),
        "after": dict.fromkeys(names, 1.5),
        "difference": dict.fromkeys(names, -0.5),
        "standard_error": dict.fromkeys(names, 0.125),
    }
    table = comparison_table(summary, "title")
    assert table.row_count == 4
    for label in (
        "cross-entropy (nats/token)",
        "feature-matching loss",
        "alignment (high is like the text)",
        "diversity (high is alike)",
    ):
        assert row(table, label) == f"│ {label} │ 2.0000 │ 1.5000 │ -0.5000 │ 0.1250 │"


def test_any_figure_has_a_row() -> None:
    found = {
        "pass_at_8": Figure(0.25, 0.1, 0.05, 0.45, 20),
        "something_else": Figure(float("nan"), float("nan"), float("nan"), float("nan"), 0),
    }
    table = figure_table(found, "title", level=0.9)
    assert any("90% interval" in line for line in lines(table))
    assert row(table, "pass@8") == "│ pass@8 │ 0.2500 │ 0.1000 │ 0.0500 to 0.4500 │ 20 │"
    assert "nan" in row(table, "something else")


def test_differences_stand_beside_what_they_are_of_and_ratios_alone() -> None:
    before, after = Figure(0.5, 0.1, 0.3, 0.7, 9), Figure(0.75, 0.1, 0.6, 0.9, 9)
    change = {
        "greedy_accuracy": Figure(0.25, 0.1, 0.02, 0.48, 9),
        "perplexity_ratio": Figure(0.9, 0.01, 0.88, 0.92, 9),
    }
    table = difference_table(
        {"greedy_accuracy": before}, {"greedy_accuracy": after}, change, "title"
    )
    found = row(table, "greedy accuracy")
    assert "│ 0.5000 │ 0.7500 │ +0.2500 │ 0.1000 │ +0.0200 to +0.4800 │ 9 │" in found
    assert "│ │ │ 0.9000 │ 0.0100 │ 0.8800 to 0.9200 │ 9 │" in row(
        table, labelled("perplexity_ratio")
    )


def test_completions_are_shown_as_they_are() -> None:
    """Brackets are text and no markup."""
    table = completion_table([WrittenCompletion(1, "x[0]", "[bold]y", "[/]z", 0.5)], "title")
    found = row(table, "x[0]")
    assert "[bold]y" in found
    assert "[/]z" in found
    assert "0.50" in found
