"""``ebmlm features CONFIG.yaml``: what a feature map sees of rollouts, as a page to look at."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ebmlm.cli.parsing import ConfigParser, pipeline_from
from ebmlm.errors import UserError

if TYPE_CHECKING:
    from ebmlm.data.base import PreparedData
    from ebmlm.data.row import TextRows
    from ebmlm.exploration.parts import Look
    from ebmlm.exploration.view import FeatureView
    from ebmlm.objectives.policy import PolicyObjective

__all__ = ["features"]

_DESCRIPTION = (
    "Draw rollouts at some anchors and show them as the objective's feature map sees them, beside"
    " their texts and rewards, on one HTML page: ebmlm features CONFIG.yaml [--checkpoint FOLDER]"
    " [--output PAGE.html] [--key value ...]."
)
_PAGE = "features.html"


def features(arguments: Sequence[str]) -> int:
    """Write the page of a configuration's feature map; returns the exit status."""
    page, given = _output(arguments)
    namespace = pipeline_from(_parser(), given)
    _check(namespace, page)
    from ebmlm.exploration import as_html

    view = _view(namespace)
    partial = page.with_name(page.name + ".partial")
    partial.write_text(as_html(view), encoding="utf-8")
    partial.replace(page)
    _say(view, page)
    return 0


def _output(arguments: Sequence[str]) -> tuple[Path, list[str]]:
    """The command line's own ``--output``: in a configuration it is a run folder."""
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    own.add_argument("--output", default=_PAGE)
    try:
        found, rest = own.parse_known_args(list(arguments))
    except SystemExit as error:
        raise UserError("--output needs the name of a page to write") from error
    return Path(found.output), rest


def _parser() -> ConfigParser:
    from ebmlm.cli.train import training_parser

    parser = training_parser("ebmlm features", _DESCRIPTION)
    parser.add_argument("--anchors", type=int, default=12, help="how many to draw, in all")
    parser.add_argument("--rows", type=int, default=4, help="of text that they are spread over")
    parser.add_argument(
        "--part", type=str, default="validation", help="of the data: validation, test or train"
    )
    parser.add_argument(
        "--checkpoint",
        type=str,
        default=None,
        help="a trained model's folder or name, which draws the rollouts; features and reference"
        " stay those of the configuration's model",
    )
    parser.add_argument(
        "--map", type=int, default=1, help="which feature map, where the objective has several"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    parser.add_argument("--overwrite", action="store_true", help="write over a page that exists")
    return parser


def _check(given: Any, page: Path) -> None:
    for name in ("anchors", "rows", "map"):
        if getattr(given, name) < 1:
            raise UserError(f"--{name} is {getattr(given, name)}: it must be at least 1")
    if given.part not in ("validation", "test", "train"):
        raise UserError(f"part is '{given.part}': it is validation, test or train")
    if page.is_dir():
        raise UserError(f"{page} is a folder: --output needs the name of a page to write")
    if not (parent := page.absolute().parent).is_dir():
        raise UserError(f"{page} cannot be written: there is no folder {parent}")
    if page.exists() and not given.overwrite:
        raise UserError(
            f"{page} exists and is not overwritten: name another page, or say --overwrite"
        )


def _view(given: Any) -> FeatureView:
    import torch

    from ebmlm.cli.train import pipeline_of
    from ebmlm.exploration import chosen_look, rows_spread, see, viewed, with_anchors
    from ebmlm.models import load_pretrained
    from ebmlm.objectives.policy import PolicyObjective
    from ebmlm.training.building import built_objective
    from ebmlm.transformers_model import TransformersLanguageModel

    def loaded(name: str) -> tuple[TransformersLanguageModel, Any]:
        model: Any
        model, tokeniser = load_pretrained(name)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return TransformersLanguageModel(model.to(device)), tokeniser

    base, tokeniser = loaded(given.model)
    policy = base if given.checkpoint is None else loaded(given.checkpoint)[0]
    base.check_length(given.data.length)
    prepared = given.data.prepare(tokeniser)
    enabled = given.training.precision.uses_bfloat16()
    with torch.autocast(base.device.type, torch.bfloat16, enabled=enabled):
        objective = built_objective(pipeline_of(given).objective, base, prepared.texts)
        if not isinstance(objective, PolicyObjective):
            raise UserError(
                f"{type(objective).__name__} draws no rollouts, so there are no features to show:"
                " take an objective that matches features, such as ebmlm.recipes.EBFT"
            )
        look = chosen_look(objective.energy, given.map)
        batch = rows_spread(_rows(prepared, given.part), given.rows)
        batch = with_anchors(batch, objective.sampler, given.anchors).to(base.device)
        generator = torch.Generator().manual_seed(given.seed)
        seen = see(objective, look, policy, batch, generator)
    return viewed(seen, prepared.texts, _facts(given, objective, look))


def _rows(prepared: PreparedData, part: str) -> TextRows:
    rows = {
        "validation": prepared.validation,
        "test": prepared.test,
        "train": prepared.train,
    }[part]
    if not len(rows):
        raise UserError(
            f"there are no {part} rows: have the data's split hold some out (HashSplit has a share"
            " for each part)"
        )
    return rows


def _facts(given: Any, objective: PolicyObjective, look: Look) -> dict[str, str]:
    sampler = objective.sampler
    base = {} if given.checkpoint is None else {"model before training": given.model}
    return {
        "policy": given.checkpoint or given.model,
        **base,
        "features": type(look.features).__name__,
        "energy": type(look.energy).__name__,
        "estimator": type(objective.estimator).__name__,
        "rollouts": f"{sampler.samples} an anchor, up to {sampler.horizon} tokens,"
        f" {sampler.distribution!r}",
        "text": f"{given.part} rows",
        "seed": str(given.seed),
    }


def _say(view: FeatureView, page: Path) -> None:
    from rich.console import Console

    Console().print(
        f"{len(view.anchors)} anchors with {view.samples} rollouts each, {view.duplicates:.0%}"
        f" duplicates: {page}",
        highlight=False,
        soft_wrap=True,
    )
