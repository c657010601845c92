"""Tables on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ebmlm.evaluation.continuations import Continuation
from ebmlm.evaluation.figures import Figure
from ebmlm.evaluation.report import WrittenCompletion
from ebmlm.targets.draws_record import WrittenDraw

__all__ = [
    "comparison_table",
    "completion_table",
    "continuation_table",
    "diagnostics_table",
    "difference_table",
    "draws_table",
    "figure_table",
    "labelled",
]

LABELS = {
    "cross_entropy": "cross-entropy (nats/token)",
    "perplexity": "perplexity",
    "perplexity_ratio": "perplexity, after / before",
    "feature_matching_loss": "feature-matching loss",
    "alignment": "alignment (high is like the text)",
    "diversity": "diversity (high is alike)",
    "greedy_accuracy": "greedy accuracy",
    "greedy_score": "greedy score",
    "sample_score": "sampled score",
    "greedy_length": "greedy length (tokens)",
    "sample_length": "sampled length (tokens)",
    "greedy_ended": "greedy, ended (share)",
    "sample_ended": "sampled, ended (share)",
    "greedy_repetition": "greedy, repeated 4-grams (share)",
    "sample_repetition": "sampled, repeated 4-grams (share)",
    "chrf": "chrF, mean (0 to 100)",
    "bleu": "BLEU, mean (0 to 100)",
    "corpus_chrf": "chrF of the corpus (0 to 100)",
    "corpus_bleu": "BLEU of the corpus (0 to 100)",
    "log_partition": "log Z (nats)",
    "log_partition_low": "log Z, low end of its 95 % interval",
    "log_partition_high": "log Z, high end of it",
    "r_hat": "R-hat of the log-weights",
}


def labelled(name: str) -> str:
    """What a figure is called in tables: with its unit where it is known, by its name if not."""
    if name.startswith("pass_at_"):
        return f"pass@{name.removeprefix('pass_at_')}"
    return LABELS.get(name, name.replace("_", " "))


def comparison_table(summary: Mapping[str, Any], title: str) -> Any:
    """Before, after, difference and its standard error over held-out sequences."""
    table = _table(title, "before", "after", "difference", "standard error")
    for name, before in summary["before"].items():
        table.add_row(
            labelled(name),
            f"{before:.4f}",
            f"{summary['after'][name]:.4f}",
            f"{summary['difference'][name]:+.4f}",
            f"{summary['standard_error'][name]:.4f}",
        )
    return table


def figure_table(found: Mapping[str, Figure], title: str, level: float = 0.95) -> Any:
    """Figures with their standard errors, confidence intervals and numbers of items."""
    table = _table(title, "value", "standard error", f"{level:.0%} interval", "items")
    for name, figure in found.items():
        table.add_row(
            labelled(name),
            f"{figure.value:.4f}",
            f"{figure.standard_error:.4f}",
            f"{figure.low:.4f} to {figure.high:.4f}",
            str(figure.items),
        )
    return table


def difference_table(
    before: Mapping[str, Figure],
    after: Mapping[str, Figure],
    change: Mapping[str, Figure],
    title: str,
    level: float = 0.95,
) -> Any:
    """Paired differences beside what they are of; ratios stand alone.

    The intervals and errors are those of the differences.
    """
    table = _table(
        title, "before", "after", "difference", "standard error", f"{level:.0%} interval", "items"
    )
    for name, figure in change.items():
        beside = name in before and name in after
        sign = "+" if beside else ""
        table.add_row(
            labelled(name),
            f"{before[name].value:.4f}" if beside else "",
            f"{after[name].value:.4f}" if beside else "",
            f"{figure.value:{sign}.4f}",
            f"{figure.standard_error:.4f}",
            f"{figure.low:{sign}.4f} to {figure.high:{sign}.4f}",
            str(figure.items),
        )
    return table


def continuation_table(before: Sequence[Continuation], after: Sequence[Continuation]) -> Any:
    """Held-out prompts with what was written after them before and after training."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title="the same draws, before and after", title_justify="left", show_lines=True)
    for name in ("prompt (its end)", "before", "after", "the real text"):
        table.add_column(name, overflow="fold", ratio=1)
    for old, new in zip(before, after, strict=True):
        table.add_row(*(Text(text) for text in (old.prompt, old.written, new.written, new.real)))
    return table


def completion_table(written: Sequence[WrittenCompletion], title: str) -> Any:
    """Greedy completions to read, with their scores, beside the real ones."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", show_lines=True)
    for name in ("prompt (its end)", "written", "the real completion"):
        table.add_column(name, overflow="fold", ratio=1)
    table.add_column("score", justify="right")
    for one in written:
        texts = (one.prompt[-_SHOWN:], one.written[:_SHOWN], one.real[:_SHOWN])
        table.add_row(*(Text(text) for text in texts), f"{one.score:.2f}")
    return table


def draws_table(written: Sequence[WrittenDraw]) -> Any:
    """Completions with their log-probability, and their energy where there is one."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title="drawn", title_justify="left", show_lines=True)
    for name in ("prompt (its end)", "completion"):
        table.add_column(name, overflow="fold", ratio=1)
    for name in ("log p (nats)", "energy (nats)", "tokens"):
        table.add_column(name, justify="right")
    for one in written[:_ROWS]:
        energy = "" if one.energy is None else f"{one.energy:.2f}"
        texts = (one.prompt[-_SHOWN:], one.completion)
        numbers = (f"{one.log_prob:.1f}", energy, str(one.tokens))
        table.add_row(*(Text(text) for text in texts), *numbers)
    if len(written) > _ROWS:
        table.caption = f"and {len(written) - _ROWS} more: --output has them all"
    return table


def diagnostics_table(found: Mapping[str, Sequence[float]]) -> Any:
    """What is known of how prompts' completions were drawn; docs/sampling.md, "Diagnostics"."""
    prompts = max(len(values) for values in found.values())
    table = _table(f"of {prompts} prompts", "mean", "lowest", "highest", first="diagnostic")
    for name, values in found.items():
        table.add_row(
            labelled(name),
            *(f"{one:.3f}" for one in (sum(values) / len(values), min(values), max(values))),
        )
    return table


# Completions that are printed.
_ROWS = 32

# Characters of a text in a cell; the whole of it is in the JSON.
_SHOWN = 240


def _table(title: str, *names: str, first: str = "held out") -> Any:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column(first)
    for name in names:
        table.add_column(name, justify="right")
    return table
