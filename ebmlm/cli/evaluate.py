"""``ebmlm evaluate CONFIG.yaml [--checkpoint FOLDER]``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import torch

from ebmlm.cli.parsing import pipeline_from
from ebmlm.cli.tables import comparison_table, measurement_table
from ebmlm.cli.train import pipeline_of, training_parser
from ebmlm.evaluation.report import EvaluationReport
from ebmlm.training.pipeline import Pipeline

__all__ = ["evaluate"]


def evaluate(arguments: Sequence[str]) -> int:
    """Measure a configuration's model, or a checkpoint beside it; returns the exit status."""
    from rich.console import Console

    parser = training_parser(
        "ebmlm evaluate",
        "Measure a model on a configuration's held-out text:"
        " ebmlm evaluate CONFIG.yaml [--checkpoint FOLDER] [--key value ...]",
    )
    parser.add_argument(
        "--checkpoint",
        type=str,
        default=None,
        help="a trained model's folder or name, compared in pairs with the configuration's model,"
        " in whose features both are measured",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    namespace = pipeline_from(parser, arguments)
    pipeline = pipeline_of(namespace)
    before, after = _measure(pipeline, namespace.checkpoint)
    console = Console()
    if after is None:
        means, errors = before.means(), before.standard_errors()
        if namespace.json:
            print(json.dumps({"means": means, "standard_errors": errors, "sequences": len(before)}))
        else:
            title = f"{pipeline.model}, {len(before)} held-out sequences"
            console.print(measurement_table(means, errors, title))
        return 0
    difference = after.minus(before)
    summary = {
        "before": before.means(),
        "after": after.means(),
        "difference": difference.means(),
        "standard_error": difference.standard_errors(),
        "sequences": len(before),
    }
    if namespace.json:
        print(json.dumps(summary))
    else:
        title = f"{pipeline.model} and {namespace.checkpoint}, {len(before)} held-out sequences"
        console.print(comparison_table(summary, title))
    return 0


def _measure(
    pipeline: Pipeline, checkpoint: str | None
) -> tuple[EvaluationReport, EvaluationReport | None]:
    from ebmlm.models import load_pretrained
    from ebmlm.transformers_model import TransformersLanguageModel

    def loaded(name: str) -> tuple[TransformersLanguageModel, Any]:
        model: Any
        model, tokeniser = load_pretrained(name)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return TransformersLanguageModel(model.to(device)), tokeniser

    base, tokeniser = loaded(pipeline.model)
    trained = None if checkpoint is None else loaded(checkpoint)[0]
    rows = pipeline.data.prepare(tokeniser).validation
    enabled = pipeline.training.precision.uses_bfloat16()
    with torch.autocast(base.device.type, torch.bfloat16, enabled=enabled):
        evaluation = pipeline.evaluation.build(base.frozen())
        before = evaluation(base, rows, device=base.device)
        after = None if trained is None else evaluation(trained, rows, device=base.device)
    return before, after
