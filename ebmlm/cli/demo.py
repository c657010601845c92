"""``ebmlm demo``: the packaged configuration, from nothing to a better model in minutes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from importlib.resources import as_file, files

from ebmlm.cli.parsing import ConfigParser, pipeline_from
from ebmlm.cli.train import pipeline_of, report, training_parser
from ebmlm.errors import UserError

__all__ = ["demo"]

_DESCRIPTION = (
    "Energy-based fine-tuning of SmolLM2-135M on Python's standard library: evaluates, trains,"
    " evaluates again, prints before and after, and keeps everything in a run folder. At most ten"
    " minutes on two CPU cores."
)


def demo(arguments: Sequence[str]) -> int:
    """Run the packaged configuration; returns the exit status."""
    parser = ConfigParser(prog="ebmlm demo", description=_DESCRIPTION, allow_abbrev=False)
    parser.add_argument(
        "--output", type=str, default=None, help="run folder (default: runs/demo-DATE-TIME)"
    )
    parser.add_argument(
        "--max-steps", type=int, default=None, help="optimiser steps at most (default: all)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the data's order and every draw")
    given = parser.parse_args(list(arguments))
    if given.max_steps is not None and given.max_steps < 1:
        raise UserError(f"--max-steps is {given.max_steps}: there must be at least 1 step")
    output = given.output or time.strftime("runs/demo-%Y%m%d-%H%M%S")
    with as_file(files("ebmlm.configs") / "demo.yaml") as path:
        options = [str(path), "--output", output, "--training.seed", str(given.seed)]
        namespace = pipeline_from(training_parser("ebmlm demo", _DESCRIPTION), options)
    pipeline = pipeline_of(namespace)
    if given.max_steps is not None:
        steps = min(given.max_steps, pipeline.training.steps)
        training = dataclasses.replace(pipeline.training, steps=steps)
        pipeline = dataclasses.replace(pipeline, training=training)
    return report(pipeline)
