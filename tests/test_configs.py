"""Shipped configurations parse, build, and say how they are launched."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, cast

import pytest

from ebmlm.cli.parsing import pipeline_from
from ebmlm.cli.train import training_parser
from ebmlm.objectives import CrossEntropy, Objective, PolicyObjective
from ebmlm.testing import TabularLanguageModel
from ebmlm.texts import Texts

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples" / "configs").glob("*.yaml"))


def parsed(path: Path) -> Any:
    return pipeline_from(training_parser("ebmlm train", "a test"), [str(path)])


def built(namespace: Any) -> Objective:
    objective: Objective = namespace.objective(
        TabularLanguageModel(3, 2), Texts(cast(Any, None), {})
    )
    assert isinstance(objective, Objective)
    return objective


def test_there_are_examples() -> None:
    assert {path.stem for path in EXAMPLES} >= {"ebft", "ebft_unbiased", "sft"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_a_run(path: Path) -> None:
    namespace = parsed(path)
    assert isinstance(built(namespace), CrossEntropy if path.stem == "sft" else PolicyObjective)
    size, passes = namespace.training.micro_batches(processes=1)
    assert size * passes == namespace.training.batch_size
    assert namespace.output == f"runs/{path.stem}"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_opens_with_its_launch_line(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first == f"# ebmlm train {path.relative_to(ROOT).as_posix()}"


def test_examples_differ_in_the_objective_alone() -> None:
    """They are there to be compared: the same text, the same budget, the same evaluation."""
    runs = [parsed(path) for path in EXAMPLES]
    for name in ("model", "data", "training", "evaluation"):
        assert len({repr(getattr(run, name)) for run in runs}) == 1, name


def test_the_packaged_demo_is_a_run() -> None:
    with as_file(files("ebmlm.configs") / "demo.yaml") as path:
        namespace = parsed(path)
        first = path.read_text(encoding="utf-8").splitlines()[0]
    assert isinstance(built(namespace), PolicyObjective)
    assert namespace.model == "smollm2-135m"
    assert first == "# ebmlm demo"
