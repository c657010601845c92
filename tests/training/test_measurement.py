"""In whose features a run is measured."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from rich.console import Console

from ebmlm.cli.parsing import pipeline_from
from ebmlm.cli.train import pipeline_of, training_parser
from ebmlm.errors import UserError
from ebmlm.training import EvaluationOptions, Pipeline
from tests.models.conftest import model_folder  # noqa: F401
from tests.training.test_pairs import CONFIG


@pytest.fixture
def pipeline(tmp_path: Path, model_folder: Path) -> Pipeline:  # noqa: F811
    pairs = tmp_path / "pairs.jsonl"
    lines = [f'{{"prompt": "say {n}: ", "completion": "word {n * 7}"}}' for n in range(40)]
    pairs.write_text("\n".join(lines) + "\n", encoding="utf-8")
    options = {"objective": "  class_path: SFT", "verifier": "ebmlm.verifiers.ChrF"}
    path = tmp_path / "config.yaml"
    path.write_text(
        CONFIG.format(
            model=model_folder, pairs=pairs, packing="false", output=tmp_path / "run", **options
        ),
        encoding="utf-8",
    )
    return pipeline_of(pipeline_from(training_parser("test", ""), [str(path)]))


def test_measured_is_what_a_run_measures_before(pipeline: Pipeline, tmp_path: Path) -> None:
    before = pipeline.run(Console(quiet=True)).before
    again = dataclasses.replace(pipeline, output=str(tmp_path / "none")).measured()
    assert again.means() == before.means()
    assert not (tmp_path / "none").exists()


def test_runs_from_a_checkpoint_are_measured_in_features_of_one_network(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    training = dataclasses.replace(pipeline.training, learning_rate=0.05)
    after = dataclasses.replace(pipeline, training=training).run(Console(quiet=True)).after
    checkpoint = tmp_path / "run" / "checkpoint"
    from_it = dataclasses.replace(pipeline, model=str(checkpoint))
    named = dataclasses.replace(pipeline.evaluation, network=pipeline.model)
    assert dataclasses.replace(from_it, evaluation=named).measured().means() == pytest.approx(
        after.means()
    )
    loss = "feature_matching_loss"
    assert from_it.measured().means()[loss] != pytest.approx(after.means()[loss])


def test_shrinkage_is_checked() -> None:
    with pytest.raises(UserError, match=r"evaluation.whitened is 1.5: a shrinkage is above 0"):
        EvaluationOptions(whitened=1.5)
