"""``ebmlm compare CONFIG.yaml CONFIG.yaml ... --seconds N``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ebmlm.errors import UserError

if TYPE_CHECKING:
    from ebmlm.comparison import ArmOutcome
    from ebmlm.training.pipeline import Limit

__all__ = ["compare"]

_DESCRIPTION = (
    "Trains several configurations from the same start, on the same data and budget, measures them"
    " alike, and writes one table and one plot. The same command again goes on where it stopped."
)


def compare(arguments: Sequence[str]) -> int:
    """Run a comparison; returns the exit status, 1 where an arm did not come to its end."""
    configs = list(takewhile(lambda word: not word.startswith("-"), arguments))
    given, changes = _parser().parse_known_args(list(arguments)[len(configs) :])
    limit, plan = _budget(given)
    from accelerate import PartialState
    from rich.console import Console

    from ebmlm.cli.parsing import pipeline_from
    from ebmlm.cli.train import pipeline_of, training_parser
    from ebmlm.comparison import Arm, Comparison

    parser = training_parser("ebmlm train", _DESCRIPTION)
    arms = [
        Arm(Path(config).stem, pipeline_of(pipeline_from(parser, [config, *changes])))
        for config in configs
    ]
    comparison = Comparison(arms, given.output, limit, plan)
    console: Any = Console(quiet=not PartialState().is_main_process)
    outcomes, failed = comparison.run(console)
    if outcomes and PartialState().is_main_process:
        _write(comparison.output, outcomes, failed, console)
    return 1 if failed else 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; `{self.prog} --help` lists the options")


def _parser() -> _Parser:
    parser = _Parser(
        prog="ebmlm compare",
        usage="ebmlm compare CONFIG.yaml CONFIG.yaml ... (--seconds N | --tokens N) [--key value]",
        description=f"{_DESCRIPTION} Options that are not named here are those of `ebmlm train`,"
        " and hold for every arm.",
        allow_abbrev=False,
    )
    parser.add_argument("--output", default="runs/compare", help="folder of the arms")
    parser.add_argument("--seconds", type=float, help="of training for each arm, evaluations aside")
    parser.add_argument(
        "--tokens", type=int, help="of training text for each arm, as often as seen"
    )
    parser.add_argument(
        "--evaluations", type=int, default=2, help="on the way, beside those before and after"
    )
    return parser


def _budget(given: Any) -> tuple[Limit, dict[str, Any]]:
    if (given.seconds is None) == (given.tokens is None):
        raise UserError("give each arm a budget: either --seconds N or --tokens N")
    from ebmlm.training.budget import Budget, SecondsBudget, TokensBudget
    from ebmlm.training.clock import TrainingClock

    def limit(clock: TrainingClock) -> Budget:
        if given.seconds is not None:
            return SecondsBudget(given.seconds, clock, given.evaluations)
        return TokensBudget(given.tokens, given.evaluations)

    limit(TrainingClock(Path("metrics.jsonl")))  # Numbers out of range are refused here.
    plan = {name: getattr(given, name) for name in ("seconds", "tokens", "evaluations")}
    return limit, plan


def _write(
    output: Path, outcomes: Sequence[ArmOutcome], failed: dict[str, str], console: Any
) -> None:
    from ebmlm.comparison.plot import plot_comparison
    from ebmlm.comparison.table import as_json, as_markdown

    table = as_markdown(outcomes)
    for name, text in (
        ("results.json", json.dumps(as_json(outcomes, failed), indent=2) + "\n"),
        ("results.md", table),
    ):
        partial = output / f"{name}.partial"
        partial.write_text(text, encoding="utf-8")
        partial.replace(output / name)
    try:
        plot_comparison(outcomes, output / "results.png")
    except ModuleNotFoundError as error:
        console.print(f"no results.png: {error.name} is not installed (pip install 'ebmlm[demo]')")
    console.print(table, highlight=False)
    console.print(f"written to {output}/: results.json, results.md, results.png", highlight=False)
