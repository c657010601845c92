"""The arms of a comparison, and what must be the same in all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ebmlm.description import described
from ebmlm.errors import UserError
from ebmlm.training.pipeline import Pipeline

__all__ = ["Arm", "check_alike"]

# What says how an arm learns may differ; where it starts, on what, and how it is measured may not.
_ALIKE = ("model", "quantization_config", "data", "evaluation")

# The rate is constant after the warm-up: others need to know the number of steps beforehand.
_SCHEDULES = ("constant", "constant_with_warmup")

# More steps than any budget buys.
_STEPS = 10_000_000


@dataclass(frozen=True)
class Arm:
    """One objective of a comparison.

    Attributes:
        name: of its folder, its line in the table and its curve.
        pipeline: model, data, objective, training and evaluation; its output is not used.
    """

    name: str
    pipeline: Pipeline

    def unlimited(self, output: str, *, resume: bool) -> Pipeline:
        """Return the pipeline for a run in ``output`` that something else than steps will end.

        The warm-up keeps its length in steps.
        """
        training = self.pipeline.training
        warmup = training.warmup * training.steps / _STEPS
        options = dataclasses.replace(
            training,
            steps=_STEPS,
            warmup=warmup,
            evaluate_every=0,
            save_every=0,
            keep_checkpoints=1,
        )
        return dataclasses.replace(self.pipeline, training=options, output=output, resume=resume)


def check_alike(arms: Sequence[Arm]) -> None:
    """Refuse arms that would not compare.

    Raises:
        UserError: for fewer than two arms, two of one name, another model, data, evaluation or
            seed in one of them, or a learning rate that depends on the number of steps.
    """
    if len(arms) < 2:
        raise UserError(f"{len(arms)} configuration to compare: name at least two")
    names = [arm.name for arm in arms]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two configurations are called {name!r}: rename one of the files")
    first, *others = arms
    for other in others:
        for part in _ALIKE:
            mine, theirs = (described(getattr(arm.pipeline, part)) for arm in (first, other))
            if mine != theirs:
                raise UserError(
                    f"{first.name} and {other.name} differ in {part}{_difference(mine, theirs)};"
                    f" arms must start from one model, on one {part}, and be measured alike"
                )
        seeds = first.pipeline.training.seed, other.pipeline.training.seed
        if seeds[0] != seeds[1]:
            raise UserError(
                f"{first.name} and {other.name} have seeds {seeds[0]} and {seeds[1]}: give them"
                " the same training.seed"
            )
    for arm in arms:
        schedule = arm.pipeline.training.extra.get("lr_scheduler_type", _SCHEDULES[0])
        if schedule not in _SCHEDULES:
            raise UserError(
                f"{arm.name} has the learning-rate schedule {schedule!r}, which needs the number"
                f" of steps beforehand; under a budget use {' or '.join(_SCHEDULES)}"
            )


def _difference(mine: Any, theirs: Any) -> str:
    """Where two descriptions differ first, however deep, and in what."""
    if isinstance(mine, dict) and isinstance(theirs, dict) and mine.keys() == theirs.keys():
        for name, value in mine.items():
            if value != theirs[name]:
                return f".{name}{_difference(value, theirs[name])}"
    return f": {mine!r} and {theirs!r}"
