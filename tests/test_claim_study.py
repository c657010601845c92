"""The study in examples/studies/claim: its plan, its runs on a tiny model, its tables."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ebmlm.objectives import Objective
from ebmlm.testing import TabularLanguageModel
from ebmlm.texts import Texts
from tests.models.conftest import model_folder  # noqa: F401

FOLDER = Path(__file__).parents[1] / "examples" / "studies" / "claim"
NAMES = ("arms", "plan", "study", "report", "limits")
PARTS = ("limits_duplicates", "limits_rewards", "limits_signal", "limits_sources", "limits_start")


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    """Its modules, as they find each other when one of them is run."""
    monkeypatch.syspath_prepend(str(FOLDER))
    modules = {name: __import__(name) for name in NAMES}
    for module in modules.values():
        if hasattr(module, "RATES"):
            monkeypatch.setattr(module, "RATES", (1e-3, 1e-2))
    yield modules
    for name in (*NAMES, *PARTS):
        sys.modules.pop(name)


def changes(tmp_path: Path, model: Path) -> tuple[str, ...]:
    """Options under which the task of raw text is small."""
    text = tmp_path / "text.jsonl"
    lines = [json.dumps({"text": f"{number} {'word ' * 20}{number * 7}"}) for number in range(60)]
    text.write_text("\n".join(lines) + "\n", encoding="utf-8")
    given = {
        "model": model,
        "evaluation.network": model,
        "data.source": "JsonLines",
        "data.source.path": text,
        "data.length": 32,
        "data.validation_rows": 3,
        "data.test_rows": 4,
        "data.split.validation": 0.2,
        "data.split.test": 0.3,
        "training.steps": 3,
        "training.batch_size": 2,
        "training.micro_batch_size": 2,
        "training.precision": "float32",
    }
    return tuple(word for name, value in given.items() for word in (f"--{name}", str(value)))


def test_every_arm_makes_an_objective_for_every_task(study: dict[str, Any]) -> None:
    model, plan = TabularLanguageModel(4, 2, hidden=8), study["plan"]
    texts = Texts(None, {})  # type: ignore[arg-type]
    for name in plan.PRIMARY:
        given = plan.task(name)
        verified = given.evaluation.completions is not None
        for arm in study["arms"].ARMS.values():
            if verified or not arm.verified:
                assert isinstance(arm.recipe(given)(model, texts), Objective)


def test_runs_wait_for_what_they_start_from(study: dict[str, Any], tmp_path: Path) -> None:
    plan = study["plan"]
    planned = plan.Study(tmp_path)
    runs = planned.runs(["text", "answers"], ["ebft_from_sft", "rlvr"], [0, 1])
    for place, run in enumerate(runs):
        assert set(planned.needs(run)) <= set(runs[:place])
    assert plan.Run("text", "rlvr", 0) not in runs
    assert plan.Run("answers", "sft", 1) in planned.needs(plan.Run("answers", "ebft_from_sft", 1))


def test_it_runs_and_goes_on_and_tells(
    study: dict[str, Any],
    tmp_path: Path,
    model_folder: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    plan, study_module, report = study["plan"], study["study"], study["report"]
    small = changes(tmp_path, model_folder)
    planned = plan.Study(tmp_path / "runs", 1 / 3, 0, small)
    planned.write_plan()
    runs = planned.runs(["text"], ["ebft_from_sft"], [0, 1])
    study_module.go(planned, runs, lambda: False)
    assert f"{len(runs)} of {len(runs)} runs are done" in capsys.readouterr().out
    last = plan.Run("text", "ebft_from_sft", 1)
    summary = json.loads(last.folder(planned.output).summary.read_text(encoding="utf-8"))
    assert summary["steps"] == 3
    assert summary["model"] == str(plan.Run("text", "sft", 1).folder(planned.output).checkpoint)
    assert not last.folder(planned.output).checkpoint.exists()

    study_module.go(planned, runs, lambda: False)
    assert capsys.readouterr().out.splitlines() == [f"{len(runs)} of {len(runs)} runs are done"]
    with pytest.raises(SystemExit, match="name another folder"):
        plan.Study(tmp_path / "runs", 1 / 2, 0, small).write_plan()

    findings = report.Findings(planned, [0, 1])
    lines = report.levels(findings, "text")
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| base", "| sft", "| ebft_from_sft"]
    (contrast,) = report.contrasts(findings, "text", [("ebft_from_sft", "sft")])[2:]
    assert contrast.startswith("| ebft_from_sft less sft | 2 |")
    assert len([line for line in report.rates(findings, "text") if "**" in line]) == 2


def test_a_run_that_fails_is_told_and_the_others_go_on(
    study: dict[str, Any],
    tmp_path: Path,
    model_folder: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan, study_module = study["plan"], study["study"]
    planned = plan.Study(tmp_path / "runs", 1 / 3, 0, changes(tmp_path, model_folder))
    train = study_module.train

    def failing(given: Any, run: Any) -> None:
        if run.rate == study["arms"].RATES[0]:
            raise ValueError("out of luck")
        train(given, run)

    monkeypatch.setattr(study_module, "train", failing)
    runs = planned.runs(["text"], ["sft"], [0])
    study_module.go(planned, runs, lambda: False)
    out = capsys.readouterr().out
    assert "failed: ValueError: out of luck" in out
    assert f"{len(runs) - 1} of {len(runs)} runs are done" in out
    assert "out of luck" in planned.error(runs[1]).read_text(encoding="utf-8")


def test_limits_measure_every_part(
    study: dict[str, Any],
    tmp_path: Path,
    model_folder: Path,  # noqa: F811
) -> None:
    small = changes(tmp_path, model_folder)
    task = ["--config", str(FOLDER / "tasks" / "text.yaml"), "--output", str(tmp_path / "limits")]
    few = ["--batches", "3", "--rows", "1", "--settings", "base", "whitening"]
    study["limits"].main([*task, *few, *small, "--data.length", "64"])
    found = json.loads((tmp_path / "limits" / "text.json").read_text(encoding="utf-8"))
    assert set(found) == {"signal", "sources", "rewards", "duplicates"}
    assert {"cross-entropy", "published, stride 8"} < set(found["signal"]["settings"])
    # Nothing is drawn for cross-entropy, and more rollouts make less noise of drawing.
    sources = found["sources"]["settings"]
    assert sources["cross-entropy"]["draws"] == pytest.approx(0.0, abs=1e-9)
    assert sources["2 samples"]["draws"] > sources["16 samples"]["draws"] > 0
    correlations = [row["mean"] for row in found["rewards"]["rank_correlations"]]
    assert all(-1 <= value <= 1 for value in correlations if value is not None)
    for row in found["duplicates"]["rows"]:
        assert 0 <= row["duplicate_rollouts"]["mean"] <= 1
