"""``ebmlm sample``: draws from a model, or from a target that an energy makes of it."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ebmlm.cli.parsing import ConfigParser, parts, pipeline_from
from ebmlm.errors import UserError

if TYPE_CHECKING:
    from ebmlm.data.prompts import Prompts
    from ebmlm.samplers import AutoregressiveSampler
    from ebmlm.targets.draws_record import DrawsRecord
    from ebmlm.targets.samplers import TargetSampler
    from ebmlm.transformers_model import TransformersLanguageModel

__all__ = ["sample"]

_DESCRIPTION = (
    "Complete prompts by a model, or by what an energy makes of it: ebmlm sample [CONFIG.yaml]"
    " --prompt TEXT | --prompts FILE [--energy CLASS] [--sampler CLASS] [--output DRAWS.jsonl]."
    " Without prompts, those of a configuration's held-out rows."
)
# What a configuration may say of options that are not looked at; nothing of it is built.
_Unread = dict | str | bool | None  # type: ignore[type-arg]
_UNREAD = (
    *("objective", "training", "evaluation", "resume"),
    *("peft_config", "output"),
)


def sample(arguments: Sequence[str]) -> int:
    """Draw, print and write; returns the exit status."""
    from ebmlm.data.prompts import read_prompts

    own, given = _own(arguments)
    namespace = pipeline_from(_parser(), given)
    _check(namespace, own)
    typed = [{"prompt": prompt} for prompt in own.prompt]
    items = typed or (read_prompts(namespace.prompts) if namespace.prompts else [])
    record = _drawn(namespace, items)
    if own.output is not None:
        partial = Path(f"{own.output}.partial")
        lines = (json.dumps(line, ensure_ascii=False) for line in record.lines())
        partial.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        partial.replace(own.output)
    _show(record, own.output)
    return 0


def _own(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The command line's own options: ``--prompt``, again and again, and ``--output``.

    In a configuration ``output`` is a run folder.
    """
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    own.add_argument("--output", default=None)
    own.add_argument("--prompt", action="append", default=[])
    try:
        return own.parse_known_args(list(arguments))
    except SystemExit as error:
        raise UserError(
            "--output needs the name of a file to write, and --prompt a text"
        ) from error


def _parser() -> ConfigParser:
    from ebmlm import recipes  # noqa: F401  (short paths)
    from ebmlm.data.base import RunData
    from ebmlm.distribution import TokenDistribution
    from ebmlm.objectives.energy_recipes import EnergyRecipe
    from ebmlm.samplers import Sampler
    from ebmlm.targets.samplers import TargetSampler
    from ebmlm.training.precision import Precision

    parts()
    parser = ConfigParser(prog="ebmlm sample", description=_DESCRIPTION, allow_abbrev=False)
    parser.add_argument("--config", action="config", help="a YAML file with any of these options")
    parser.add_argument(
        "--model", type=str, default="smollm2-135m", help="a name, a folder or a hub id"
    )
    parser.add_argument(
        "--prompt", type=_Unread, default=None, help="a text to complete; may be given repeatedly"
    )
    parser.add_argument(
        "--prompts",
        type=str | None,
        default=None,
        help="a file: one prompt a line, or of JSON Lines (.jsonl) objects with a 'prompt'",
    )
    parser.add_argument(
        "--data", type=RunData | None, default=None, help="whose held-out rows are completed"
    )
    parser.add_argument("--rows", type=int, default=4, help="of the data")
    parser.add_argument("--part", type=str, default="validation", help="of them, or test or train")
    parser.add_argument(
        "--context", type=int, default=64, help="tokens of a row of raw text that are the prompt"
    )
    parser.add_argument(
        "--energy",
        type=EnergyRecipe | None,
        default=None,
        help="what is minded, such as Verified or Constraint; without one, the model alone",
    )
    parser.add_argument(
        "--temperature", type=float, default=1.0, help="divisor of the energy, above 0"
    )
    parser.add_argument(
        "--distribution",
        type=TokenDistribution | None,
        default=None,
        help="how the model draws a token; by default plainly, at temperature 1",
    )
    parser.add_argument(
        "--sampler",
        type=Callable[[Sampler], TargetSampler] | None,
        default=None,
        help="how the target is drawn from; ImportanceResampling by default",
    )
    parser.add_argument("--samples", type=int, default=4, help="completions of each prompt")
    parser.add_argument(
        "--candidates",
        type=int,
        default=16,
        help="candidates or particles of each prompt, for a sampler that has them",
    )
    parser.add_argument("--horizon", type=int, default=32, help="tokens of a completion at most")
    parser.add_argument("--batch_size", type=int, default=8, help="prompts at once")
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    parser.add_argument(
        "--precision", type=Precision, default=Precision.auto, help="that passes compute in"
    )
    parser.add_argument(
        "--quantization_config",
        type=dict[str, Any] | None,
        default=None,
        help="how linear layers are held, as for training",
    )
    parser.add_argument("--overwrite", action="store_true", help="write over a file that exists")
    for name in _UNREAD:
        told = "means nothing here"
        if name == "output":
            told = "a file of JSON Lines to write; in a configuration it is the run folder"
        parser.add_argument(f"--{name}", type=_Unread, default=None, help=told)
    return parser


def _check(given: Any, own: argparse.Namespace) -> None:
    for name in ("samples", "candidates", "horizon", "batch_size", "rows", "context"):
        if getattr(given, name) < 1:
            raise UserError(f"--{name} is {getattr(given, name)}: it must be at least 1")
    if given.part not in ("validation", "test", "train"):
        raise UserError(f"part is '{given.part}': it is validation, test or train")
    if own.prompt and given.prompts:
        raise UserError("--prompt and --prompts are both given: take one of them")
    if not (own.prompt or given.prompts or given.data):
        raise UserError(
            "no prompt: give --prompt TEXT, --prompts FILE, or a configuration with data"
        )
    if given.sampler is not None and given.energy is None:
        raise UserError(
            "a sampler of targets is given and no energy, which makes a target of the model: give"
            " --energy, such as Verified or Constraint, or leave --sampler out"
        )
    if own.output is None:
        return
    path = Path(own.output)
    if path.is_dir():
        raise UserError(f"{path} is a folder: --output needs the name of a file to write")
    if not (parent := path.absolute().parent).is_dir():
        raise UserError(f"{path} cannot be written: there is no folder {parent}")
    if path.exists() and not given.overwrite:
        raise UserError(
            f"{path} exists and is not overwritten: name another file, or say --overwrite"
        )


def _drawn(given: Any, items: Sequence[dict[str, Any]]) -> DrawsRecord:
    import torch

    from ebmlm.targets.cost import CountedLanguageModel
    from ebmlm.targets.draws_record import DrawsRecord
    from ebmlm.targets.energy_model import EnergyModel
    from ebmlm.training.start import load_measured

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, tokeniser = load_measured(
        given.model,
        device,
        precision=given.precision,
        quantization_config=given.quantization_config,
    )
    prompts = _prompts(given, items, tokeniser)
    _check_lengths(prompts, model, given.horizon)
    counted = CountedLanguageModel(model)
    enabled = given.precision.uses_bfloat16()
    with torch.autocast(device.type, torch.bfloat16, enabled=enabled), torch.no_grad():
        target = None
        draw: Any = _proposal(given, given.samples)
        if given.energy is not None:
            energy = given.energy(model, prompts.texts)
            target = EnergyModel(counted, energy, given.temperature, given.distribution)
            draw = _target_sampler(given)
        record = DrawsRecord(prompts.texts, target, counted)
        for batch in prompts.batches(given.batch_size):
            started = time.monotonic()
            # The same for all batches: draws depend on a prompt's id, not on who is beside it.
            generator = torch.Generator().manual_seed(given.seed)
            record.draw(draw, batch.to(device), generator)
            record.seconds += time.monotonic() - started
    return record


def _prompts(given: Any, items: Sequence[dict[str, Any]], tokeniser: Any) -> Prompts:
    from ebmlm.data.prompts import Prompts

    if items:
        return Prompts.of(items, tokeniser)
    prepared = given.data.prepare(tokeniser)
    rows = getattr(prepared, given.part)
    if not len(rows):
        raise UserError(f"there are no {given.part} rows: have the data's split hold some out")
    return Prompts.held_out(rows, prepared.texts, given.rows, given.context)


def _check_lengths(prompts: Prompts, model: TransformersLanguageModel, horizon: int) -> None:
    try:
        model.check_length(prompts.longest + horizon)
    except UserError as error:
        raise UserError(
            f"the longest prompt has {prompts.longest} tokens and the horizon is {horizon}: {error}"
        ) from error


def _proposal(given: Any, samples: int) -> AutoregressiveSampler:
    from ebmlm.samplers import AutoregressiveSampler

    return AutoregressiveSampler(given.horizon, samples, given.distribution)


def _target_sampler(given: Any) -> TargetSampler:
    """The sampler asked for, with as many completions as asked for."""
    from ebmlm.targets.samplers import ImportanceResampling

    recipe = given.sampler or ImportanceResampling
    chosen = getattr(recipe, "keywords", {}).get("samples", 1)
    if chosen not in (1, given.samples):
        raise UserError(f"sampler.samples is {chosen}: say --samples {chosen} instead")
    candidates = _proposal(given, given.candidates)
    if "samples" in getattr(recipe, "keywords", {"samples": 1}):
        made: TargetSampler = recipe(candidates, samples=given.samples)
    else:
        # Chains: one a completion.
        made = recipe(_proposal(given, given.samples))
    return made


def _show(record: DrawsRecord, output: str | None) -> None:
    from rich.console import Console

    from ebmlm.cli.tables import diagnostics_table, draws_table

    console = Console()
    console.print(draws_table(record.written))
    if record.diagnostics:
        console.print(diagnostics_table(record.diagnostics))
    for remark in record.remarks():
        console.print(f"note: {remark}", highlight=False)
    count = len(record.written)
    console.print(
        f"{count} completions from {record.tokens} tokens drawn"
        f" ({record.tokens / max(count, 1):.0f} each) in {record.seconds:.1f} s"
        + (f"; written to {output}" if output else ""),
        highlight=False,
        soft_wrap=True,
    )
