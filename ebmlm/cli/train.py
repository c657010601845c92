"""``ebmlm train CONFIG.yaml [--key value]``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from ebmlm.cli.parsing import ConfigParser, parts, pipeline_from
from ebmlm.cli.tables import comparison_table, continuation_table
from ebmlm.training.pipeline import Pipeline

__all__ = ["pipeline_of", "report", "train", "training_parser"]


def training_parser(prog: str, description: str) -> ConfigParser:
    """Return the parser of a pipeline's options, from a file and the command line."""
    from ebmlm import recipes  # noqa: F401  (short paths)

    parts()
    parser = ConfigParser(prog=prog, description=description, allow_abbrev=False)
    parser.add_argument("--config", action="config", help="a YAML file with any of these options")
    parser.add_class_arguments(Pipeline, None)
    return parser


def pipeline_of(namespace: Any) -> Pipeline:
    """Return the pipeline that a parsed and built namespace describes; other options are left."""
    names = [field.name for field in dataclasses.fields(Pipeline)]
    return Pipeline(**{name: getattr(namespace, name) for name in names})


def report(pipeline: Pipeline) -> int:
    """Run a pipeline and print what it found, on the main process only."""
    from accelerate import PartialState
    from rich.console import Console

    console: Any = Console(quiet=not PartialState().is_main_process)
    outcome = pipeline.run(console)
    summary = outcome.summary
    title = (
        f"{summary['steps']} steps, {summary['seconds']:.0f} s,"
        f" {summary['sequences']} held-out sequences"
    )
    if outcome.written_after:
        console.print(continuation_table(outcome.written_before, outcome.written_after))
    console.print(comparison_table(summary, title))
    console.print(f"written to {pipeline.output}/: checkpoint, metrics.jsonl, summary.json, curves")
    return 0


def train(arguments: Sequence[str]) -> int:
    """Run a configuration; returns the exit status."""
    parser = training_parser(
        "ebmlm train", "Fine-tune a model: ebmlm train CONFIG.yaml [--key value ...]"
    )
    namespace = pipeline_from(parser, arguments)
    return report(pipeline_of(namespace))
