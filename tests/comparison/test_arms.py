"""What arms may differ in, and what not."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import pytest

from ebmlm.comparison import Arm, check_alike
from ebmlm.data import HashSplit, TextData, TextFiles
from ebmlm.description import described
from ebmlm.errors import UserError
from ebmlm.objectives import recipes
from ebmlm.training import EvaluationOptions, Pipeline, TrainingOptions
from ebmlm.verifiers import FunctionVerifier


def pipeline(**changes: Any) -> Pipeline:
    plain = Pipeline(data=TextData(TextFiles(["a.txt"])), objective=recipes.sft)
    return dataclasses.replace(plain, **changes)


def test_arms_may_learn_otherwise() -> None:
    faster = TrainingOptions(learning_rate=1.0, batch_size=4)
    check_alike(
        [
            Arm("a", pipeline()),
            Arm("b", pipeline(objective=recipes.ebft, training=faster, output="elsewhere")),
        ]
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "other"}, ["model", "'smollm2-135m' and 'other'"]),
        ({"data": TextData(TextFiles(["a.txt"]), length=64)}, ["data.length", "256 and 64"]),
        ({"data": TextData(TextFiles(["b.txt"]))}, ["data.source.paths", "b.txt"]),
        (
            {"data": TextData(TextFiles(["a.txt"]), split=HashSplit(0.2))},
            ["data.split.validation", "0.1 and 0.2"],
        ),
        ({"evaluation": EvaluationOptions(seed=1)}, ["evaluation.seed", "0 and 1"]),
        ({"training": TrainingOptions(seed=3)}, ["seeds 0 and 3"]),
        (
            {"training": TrainingOptions(extra={"lr_scheduler_type": "cosine"})},
            ["'cosine'", "constant"],
        ),
    ],
)
def test_arms_must_start_and_be_measured_alike(changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UserError) as refused:
        check_alike([Arm("first", pipeline()), Arm("second", pipeline(**changes))])
    for word in words:
        assert word in str(refused.value)


def test_arms_have_names_of_their_own() -> None:
    with pytest.raises(UserError, match="two configurations are called 'a'"):
        check_alike([Arm("a", pipeline()), Arm("a", pipeline())])
    with pytest.raises(UserError, match="1 configuration"):
        check_alike([Arm("a", pipeline())])


def test_the_warm_up_keeps_its_length() -> None:
    training = TrainingOptions(steps=200, warmup=0.05, evaluate_every=5, save_every=5)
    run = Arm("a", pipeline(training=training)).unlimited("there", resume=True)
    assert run.training.arguments(Path("there")).warmup_steps == 10
    assert (run.training.evaluate_every, run.training.save_every) == (0, 0)
    assert (run.output, run.resume) == ("there", True)


def test_parts_that_were_built_alike_are_described_alike() -> None:
    def judge(prompt: str, completion: str, row: Any) -> float:
        return 0.0

    assert FunctionVerifier(judge) != FunctionVerifier(judge)
    assert described(FunctionVerifier(judge)) == described(FunctionVerifier(judge))
    assert described(FunctionVerifier(judge)) != described(
        FunctionVerifier(lambda prompt, completion, row: 0.0)
    )
    bound = functools.partial(recipes.ebft, samples=3)
    assert described(bound) == {"callable": "ebmlm.objectives.recipes.ebft", "samples": 3}
