"""In whose features a run is measured."""

from __future__ import annotations

import copy
import dataclasses
import shutil
from pathlib import Path

import pytest
import torch
from rich.console import Console

from ebmlm.cli.main import main
from ebmlm.cli.parsing import pipeline_from
from ebmlm.cli.train import pipeline_of, training_parser
from ebmlm.errors import UserError
from ebmlm.evaluation import EvaluationRecord
from ebmlm.training import EvaluationOptions, Pipeline
from ebmlm.training.start import load_policy
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


def test_a_network_of_other_tokens_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    policy, _ = load_policy(pipeline.model, torch.device("cpu"))
    larger = copy.deepcopy(policy.model)
    larger.resize_token_embeddings(policy.vocabulary_size + 3, mean_resizing=False)
    shutil.copytree(pipeline.model, tmp_path / "larger")
    larger.save_pretrained(tmp_path / "larger")
    named = dataclasses.replace(pipeline.evaluation, network=str(tmp_path / "larger"))
    with pytest.raises(UserError, match="it must read the same tokens"):
        dataclasses.replace(pipeline, evaluation=named).measured()


def test_evaluate_measures_in_the_same_network(
    pipeline: Pipeline,
    tmp_path: Path,
    model_folder: Path,  # noqa: F811
) -> None:
    policy, _ = load_policy(pipeline.model, torch.device("cpu"))
    shutil.copytree(model_folder, tmp_path / "other")
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.mul_(1.5)
    policy.model.save_pretrained(tmp_path / "other")
    words = ["evaluate", str(tmp_path / "config.yaml"), "--output", str(tmp_path / "found.json")]
    assert main([*words, "--evaluation.network", str(tmp_path / "other")]) == 0
    record = EvaluationRecord.read(tmp_path / "found.json")
    named = dataclasses.replace(pipeline.evaluation, network=str(tmp_path / "other"))
    expected = dataclasses.replace(pipeline, evaluation=named).measured()
    assert record.report.means() == pytest.approx(expected.means())
    assert record.features == str(tmp_path / "other")


def test_shrinkage_is_checked() -> None:
    with pytest.raises(UserError, match=r"evaluation.whitened is 1.5: a shrinkage is above 0"):
        EvaluationOptions(whitened=1.5)
