"""Shipped configurations parse, build, and say how they are launched."""

from __future__ import annotations

import dataclasses
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, cast

import pytest

from ebmlm.cli.parsing import pipeline_from
from ebmlm.cli.train import pipeline_of, training_parser
from ebmlm.comparison import Arm, check_alike
from ebmlm.objectives import CrossEntropy, EnergyObjective, Objective, PolicyObjective
from ebmlm.testing import TabularLanguageModel
from ebmlm.texts import Texts

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples" / "configs").glob("*.yaml"))
KINDS: dict[str, type[Objective]] = {
    "sft": CrossEntropy,
    "nce": EnergyObjective,
    "contrastive_divergence": EnergyObjective,
}


def parsed(path: Path) -> Any:
    return pipeline_from(training_parser("ebmlm train", "a test"), [str(path)])


def built(namespace: Any) -> Objective:
    objective: Objective = namespace.objective(
        TabularLanguageModel(3, 2), Texts(cast(Any, None), {})
    )
    assert isinstance(objective, Objective)
    return objective


def test_there_are_examples() -> None:
    assert {path.stem for path in EXAMPLES} >= {"ebft", "ebft_lora", "ebft_unbiased", "sft"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_a_run(path: Path) -> None:
    namespace = parsed(path)
    assert isinstance(built(namespace), KINDS.get(path.stem, PolicyObjective))
    size, passes = namespace.training.micro_batches(processes=1)
    assert size * passes == namespace.training.batch_size
    assert namespace.output == f"runs/{path.stem}"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_opens_with_its_launch_line(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first == f"# ebmlm train {path.relative_to(ROOT).as_posix()}"


def test_examples_differ_in_the_objective_alone() -> None:
    """They are there to be compared: the same text, the same budget, the same evaluation.

    Adapters learn at another rate, and those that train an energy are compared among themselves.
    """
    runs = [parsed(p) for p in EXAMPLES if KINDS.get(p.stem) is not EnergyObjective]
    energies = [parsed(p) for p in EXAMPLES if KINDS.get(p.stem) is EnergyObjective]
    for name in ("model", "data", "training", "evaluation"):
        assert len({repr(getattr(run, name)) for run in energies}) == 1, name
        assert all(run.evaluation.energy is not None for run in energies)
    for name in ("model", "data", "evaluation"):
        assert len({repr(getattr(run, name)) for run in runs}) == 1, name
    training = {repr(dataclasses.replace(run.training, learning_rate=1e-5)) for run in runs}
    assert len(training) == 1
    assert all(run.peft_config for run in runs if run.training.learning_rate != 1e-5)


def test_the_packaged_demo_is_a_run() -> None:
    with as_file(files("ebmlm.configs") / "demo.yaml") as path:
        namespace = parsed(path)
        first = path.read_text(encoding="utf-8").splitlines()[0]
    assert isinstance(built(namespace), PolicyObjective)
    assert namespace.model == "smollm2-135m"
    assert first == "# ebmlm demo"


STUDIES = sorted((ROOT / "examples" / "studies").glob("*/*.yaml"))
TASKS = sorted((ROOT / "examples" / "configs").glob("*/*.yaml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_other_configurations_open_with_their_launch_line_and_are_runs(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first == f"# ebmlm train {path.relative_to(ROOT).as_posix()}"
    namespace = parsed(path)
    if path.stem != "minilm":
        # That one loads an encoder.
        built(namespace)


def test_every_task_has_the_three_arms() -> None:
    arms: dict[str, set[str]] = {}
    for path in TASKS:
        arms.setdefault(path.parent.name, set()).add(path.stem)
    assert len(arms) >= 3
    assert all(names == {"sft", "rlvr", "ebft"} for names in arms.values())


@pytest.mark.parametrize(
    "task", sorted({path.parent for path in TASKS}), ids=lambda task: task.name
)
def test_the_arms_of_a_task_compare(task: Path) -> None:
    runs = {path.stem: parsed(path) for path in TASKS if path.parent == task}
    check_alike([Arm(name, pipeline_of(run)) for name, run in runs.items()])
    for name, run in runs.items():
        assert isinstance(built(run), CrossEntropy if name == "sft" else PolicyObjective)
        path = task / f"{name}.yaml"
        first = path.read_text(encoding="utf-8").splitlines()[0]
        assert first == f"# ebmlm train {path.relative_to(ROOT).as_posix()}"
        assert run.output == f"runs/{task.name}/{name}"
