"""What limits learning of EBFT, measured on the starting model without training it.

For each task (any configuration of ``ebmlm train``; its objective is not looked at) one JSON file
in the output folder, with a part for each of

- ``signal``: how much of the gradient is signal, by what is drawn and how it is judged, and how it
  stands to the gradient of cross-entropy;
- ``sources``: whether its noise comes from the text of a step or from what is drawn for it;
- ``rewards``: which layers' and horizons' rewards order rollouts as scores of them do;
- ``duplicates``: how many rollouts of an anchor are the same, and how far their rewards are apart.

A part that is measured again replaces what the file had of it, and leaves the others.

    python examples/studies/claim/limits.py --config examples/configs/sft.yaml --output runs/limits

Options that are not named here are those of ``ebmlm train``, and hold for every task.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from limits_duplicates import measure_duplicates
from limits_rewards import measure_rewards
from limits_signal import measure_signal
from limits_sources import measure_sources
from limits_start import Start
from rich.console import Console

from ebmlm.cli.parsing import pipeline_from
from ebmlm.cli.train import pipeline_of, training_parser
from ebmlm.errors import UserError
from ebmlm.training.pipeline import Pipeline
from ebmlm.training.start import load_policy


def main(arguments: Sequence[str]) -> None:
    """Measure what the arguments ask for."""
    options, changes = _parser().parse_known_args(arguments)
    names = [config.stem for config in options.config]
    if len(set(names)) < len(names):
        raise UserError(f"two tasks are called alike: {', '.join(names)}; give them one by one")
    tasks = {config.stem: _pipeline(config, changes) for config in options.config}
    parts: dict[str, Callable[[Start], dict[str, Any]]] = {
        "signal": lambda start: measure_signal(start, options.settings, options.seconds),
        "sources": measure_sources,
        "rewards": measure_rewards,
        "duplicates": measure_duplicates,
    }
    console = Console(soft_wrap=True)
    loaded: dict[str, Any] = {}
    for name, task in tasks.items():
        started = time.monotonic()
        if task.model not in loaded:
            loaded[task.model] = load_policy(task.model, torch.device(options.device))
        policy, tokeniser = loaded[task.model]
        start = Start(
            policy,
            policy.frozen(),
            task.data.prepare(tokeniser),
            task.evaluation.completions,
            options.batches,
            options.rows,
            options.branches,
            options.seed,
            console,
        )
        console.print(f"{name}: ready after {time.monotonic() - started:.1f} s", highlight=False)
        for part in options.parts:
            started = time.monotonic()
            found = parts[part](start)
            found["options"] = {
                **{key: getattr(options, key) for key in ("batches", "rows", "seed", "device")},
                "model": task.model,
                "overrides": changes,
                "machine": _machine(options.device),
                "torch": torch.__version__,
            }
            found["seconds"] = round(time.monotonic() - started, 1)
            path = options.output / f"{name}.json"
            _write(path, part, found)
            console.print(f"{part}: {found['seconds']} s, in {path}", highlight=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="What limits learning of EBFT, without training.", allow_abbrev=False
    )
    parser.add_argument(
        "--config", type=Path, nargs="+", required=True, help="a file for each task"
    )
    parser.add_argument(
        "--parts",
        nargs="+",
        default=["signal", "sources", "rewards", "duplicates"],
        choices=["signal", "sources", "rewards", "duplicates"],
    )
    parser.add_argument(
        "--settings",
        nargs="+",
        choices=["base", "whitening", "credit", "samples", "stride", "temperature", "horizon"],
        help="of the signal, those that vary one of these; all by default",
    )
    parser.add_argument(
        "--seconds", type=float, help="after which the signal of a task begins no further setting"
    )
    parser.add_argument("--batches", type=int, default=12, help="gradients of each setting")
    parser.add_argument("--rows", type=int, default=4, help="sequences of each gradient")
    parser.add_argument("--branches", type=int, default=8192, help="rollouts drawn at once at most")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("runs/limits"), help="a folder")
    return parser


def _pipeline(config: Path, changes: Sequence[str]) -> Pipeline:
    if not config.is_file():
        raise UserError(f"{config}: no such configuration file; give the path of a YAML file")
    parser = training_parser("limits.py", "What limits learning of EBFT.")
    # A task of a study may leave the objective to its arms.
    given = ["--objective", "ebmlm.recipes.SFT", "--config", str(config), *changes]
    return pipeline_of(pipeline_from(parser, given))


def _machine(device: str) -> str:
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} threads of a CPU"


def _write(path: Path, part: str, found: dict[str, Any]) -> None:
    """Replace a part of a file, which is never seen half-written."""
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps({**before, part: found}, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(f"limits.py: {error}")
