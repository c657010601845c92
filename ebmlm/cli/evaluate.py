"""``ebmlm evaluate CONFIG.yaml [--checkpoint FOLDER]``, ``ebmlm evaluate A.json B.json``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ebmlm.cli.parsing import ConfigParser, parts, pipeline_from
from ebmlm.cli.tables import completion_table, difference_table, figure_table
from ebmlm.description import described
from ebmlm.errors import UserError
from ebmlm.evaluation.figures import figures
from ebmlm.evaluation.record import EvaluationComparison, EvaluationRecord, rows_fingerprint

if TYPE_CHECKING:
    from ebmlm.transformers_model import TransformersLanguageModel

__all__ = ["evaluate"]

_DESCRIPTION = (
    "Measure a model on a configuration's held-out rows: ebmlm evaluate CONFIG.yaml"
    " [--checkpoint FOLDER] [--key value ...]. Or compare two evaluations that were written"
    " before, in pairs of items: ebmlm evaluate BEFORE.json AFTER.json [--json] [--output FILE]."
)
# What a configuration may say of options that are not looked at; nothing of it is built.
_Unread = dict | str | bool | None  # type: ignore[type-arg]

# Written completions that are printed.
_PRINTED = 3


def evaluate(arguments: Sequence[str]) -> int:
    """Measure a configuration's model, or a checkpoint beside it; returns the exit status."""
    output, given = _output(arguments)
    if output is not None:
        _check_output(Path(output))
    files = [word for word in given if word.endswith(".json") and not word.startswith("-")]
    found: EvaluationRecord | EvaluationComparison
    if files and given[0] in files:
        found, as_json = _compared(given, files)
    else:
        namespace = pipeline_from(_parser(), given)
        found, as_json = _measure(namespace), namespace.json
    if output is not None:
        _write(Path(output), found.to_json())
    if as_json:
        print(json.dumps(found.to_json()))
    else:
        _show(found)
    return 0


def _output(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """The command line's own ``--output``: in a configuration it is a run folder."""
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    own.add_argument("--output")
    try:
        found, rest = own.parse_known_args(list(arguments))
    except SystemExit as error:
        raise UserError("--output needs the name of a file to write") from error
    return found.output, rest


def _check_output(path: Path) -> None:
    if path.is_dir():
        raise UserError(f"{path} is a folder: --output needs the name of a file to write")
    if not (parent := path.absolute().parent).is_dir():
        raise UserError(f"{path} cannot be written: there is no folder {parent}")


def _parser() -> ConfigParser:
    from ebmlm import recipes  # noqa: F401  (short paths)
    from ebmlm.training.pipeline import Pipeline

    parts()
    parser = ConfigParser(prog="ebmlm evaluate", description=_DESCRIPTION, allow_abbrev=False)
    parser.add_argument("--config", action="config", help="a YAML file with any of these options")
    parser.add_argument(
        "--checkpoint",
        type=str,
        default=None,
        help="a trained model's folder or name, compared in pairs with the configuration's model,"
        " in whose features both are measured",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument(
        "--part", type=str, default="validation", help="of the held-out rows: validation or test"
    )
    parser.add_argument(
        "--output",
        type=str,
        default=None,
        help="on the command line, a JSON file to write, which compares with others; in a"
        " configuration it is the run folder and means nothing here",
    )
    unread = ("objective", "peft_config", "resume")
    for name in unread:
        parser.add_argument(f"--{name}", type=_Unread, default=None, help="means nothing here")
    parser.add_class_arguments(Pipeline, None, skip={*unread, "output"})
    return parser


def _compared(given: Sequence[str], files: Sequence[str]) -> tuple[EvaluationComparison, bool]:
    others = [word for word in given if word not in files and word != "--json"]
    if len(files) != 2 or others:
        raise UserError(
            "two evaluations are compared by `ebmlm evaluate BEFORE.json AFTER.json`, with --json"
            f" and --output FILE if you like; this is {' '.join(given)}"
        )
    before, after = (EvaluationRecord.read(Path(name)) for name in files)
    return EvaluationComparison(before, after), "--json" in given


def _measure(given: Any) -> EvaluationRecord | EvaluationComparison:
    from ebmlm.adapted import base_name
    from ebmlm.models.load import recorded_name
    from ebmlm.training.start import load_measured, matched_network

    def loaded(name: str) -> tuple[TransformersLanguageModel, Any]:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return load_measured(
            name,
            device,
            precision=given.training.precision,
            quantization_config=given.quantization_config,
        )

    if given.part not in ("validation", "test"):
        raise UserError(f"part is '{given.part}': it is validation or test")
    trained = None
    if given.checkpoint is not None:
        trained, tokeniser = loaded(given.checkpoint)
    if trained is not None and base_name(trained.model) == recorded_name(given.model):
        base = trained.frozen()  # one set of weights, with and without the adapter
    else:
        base, tokeniser = loaded(given.model)
    base.check_length(given.data.length)
    prepared = given.data.prepare(tokeniser)
    rows = prepared.test if given.part == "test" else prepared.validation
    if not len(rows):
        raise UserError(
            f"there are no {given.part} rows: have the data's split hold some out"
            " (HashSplit has a share for each part)"
        )
    fingerprint = rows_fingerprint(rows)
    enabled = given.training.precision.uses_bfloat16()
    with torch.autocast(base.device.type, torch.bfloat16, enabled=enabled):
        network = matched_network(
            given.evaluation.network, given.model, base, given.training.precision
        )
        evaluation = given.evaluation.build(network, prepared.texts)

        def record(model: TransformersLanguageModel, name: str) -> EvaluationRecord:
            report = _watched(evaluation, model, rows, name)
            return EvaluationRecord(
                model=name,
                features=given.evaluation.network or given.model,
                part=given.part,
                seed=given.evaluation.seed,
                rows=fingerprint,
                options=described(given.evaluation),
                report=report,
            )

        before = record(base, given.model)
        if trained is None:
            return before
        return EvaluationComparison(before, record(trained, given.checkpoint))


def _watched(evaluation: Any, model: Any, rows: Any, name: str) -> Any:
    """Evaluate with a progress bar on standard error, where that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    disabled = not console.is_terminal
    with Progress(console=console, transient=True, disable=disabled) as progress:
        task = progress.add_task(f"evaluating {name}", total=None)

        def on_progress(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        return evaluation(model, rows, device=model.device, on_progress=on_progress)


def _show(found: EvaluationRecord | EvaluationComparison) -> None:
    from rich.console import Console

    console = Console()
    if isinstance(found, EvaluationRecord):
        title = f"{found.model}, {len(found.report)} {found.part} rows, seed {found.seed}"
        console.print(figure_table(figures(found.report), title))
        last = found
    else:
        last = found.after
        title = f"{found.before.model} and {last.model}, {len(last.report)} {last.part} rows"
        before, after = figures(found.before.report), figures(last.report)
        console.print(figure_table(before, f"before: {found.before.model}"))
        console.print(figure_table(after, f"after: {last.model}"))
        console.print(difference_table(before, after, found.differences(), title))
        if left_out := found.left_out():
            console.print(
                "not compared, measured in one of the two only or in other features: "
                + ", ".join(left_out),
                highlight=False,
            )
        if options := found.other_options():
            console.print(f"measured with other options: {', '.join(options)}", highlight=False)
    if written := last.report.written[:_PRINTED]:
        console.print(completion_table(written, f"most probable completions of {last.model}"))


def _write(path: Path, content: dict[str, Any]) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content) + "\n", encoding="utf-8")
    partial.replace(path)
