"""The runs of the study, and which of them have to wait for which."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from arms import ARMS, RATES, Arm

from ebmlm.cli.parsing import pipeline_from
from ebmlm.cli.train import pipeline_of, training_parser
from ebmlm.data.base import PreparedData, RunData
from ebmlm.evaluation.report import EvaluationReport
from ebmlm.training.pipeline import Pipeline
from ebmlm.training.run_folder import RunFolder

__all__ = ["PRIMARY", "Part", "Run", "Study", "task"]

TASKS = Path(__file__).parent / "tasks"

PRIMARY = {
    "text": ("cross_entropy", -1),
    "answers": ("pass_at_1", 1),
    "translation": ("sample_score", 1),
}
"""By what a task's learning rates are chosen, and whether more of it is better (1) or less (-1)."""


@cache
def task(name: str, changes: tuple[str, ...] = ()) -> Pipeline:
    """Return the pipeline of a task's file, with changes as on the command line."""
    parser = training_parser("study", "one task of the study")
    return pipeline_of(pipeline_from(parser, [str(TASKS / f"{name}.yaml"), *changes]))


_PREPARED: dict[str, PreparedData] = {}


@dataclass(frozen=True)
class Part(RunData):
    """A task's rows, read once for all runs of a process, and measured on one of its parts.

    Attributes:
        task: its name, which its rows are kept by.
        data: where they come from.
        final: whether the test rows are held out, on which arms are compared; otherwise the
            validation rows, on which learning rates are chosen.
    """

    task: str
    data: RunData
    final: bool

    @property
    def length(self) -> int:  # type: ignore[override]
        """Tokens of a row at most."""
        return self.data.length

    def prepare(self, tokenizer: object) -> PreparedData:
        """Return the rows, held out as the part says."""
        if self.task not in _PREPARED:
            _PREPARED[self.task] = self.data.prepare(tokenizer)  # type: ignore[arg-type]
        known = _PREPARED[self.task]
        return dataclasses.replace(known, validation=known.test) if self.final else known


@dataclass(frozen=True)
class Run:
    """One training run, or the measurement of the base model (``arm`` is None).

    Attributes:
        task: its name.
        arm: its name.
        seed: of the order of the data and all draws.
        rate: a learning rate to try; None for the one that was chosen.
    """

    task: str
    arm: str | None
    seed: int = 0
    rate: float | None = None

    @property
    def final(self) -> bool:
        """Whether arms are compared by it, rather than learning rates."""
        return self.rate is None

    def folder(self, output: Path) -> RunFolder:
        """Where it is kept."""
        if self.arm is None:
            return RunFolder(output / self.task / "base")
        if self.rate is not None:
            return RunFolder(output / self.task / "rates" / f"{self.arm}-{self.rate:g}")
        return RunFolder(output / self.task / self.arm / f"seed-{self.seed}")


@dataclass(frozen=True)
class Study:
    """What is run, and how long.

    Attributes:
        output: the folder of all runs.
        rate_share: length of a run that a learning rate is tried with, in runs of full length.
        curve_seed: the seed whose runs of full length are measured on the way, too.
        changes: of the tasks' configurations, as on the command line.
    """

    output: Path
    rate_share: float = 1 / 3
    curve_seed: int = 0
    changes: tuple[str, ...] = ()

    def runs(self, tasks: Iterable[str], arms: Iterable[str], seeds: Iterable[int]) -> list[Run]:
        """Return all runs, those first that others wait for."""
        tasks, arms = list(tasks), _with_starts(arms)
        found: list[Run] = [Run(name, None) for name in tasks]
        for name in tasks:
            kept = [arm for arm in arms if not ARMS[arm].verified or _verified(self._task(name))]
            tuned = dict.fromkeys(ARMS[arm].rate_of for arm in kept)
            found += [Run(name, arm, 0, rate) for arm in tuned for rate in RATES]
        for seed in seeds:
            for arm in arms:
                found += [
                    Run(name, arm, seed)
                    for name in tasks
                    if not ARMS[arm].verified or _verified(self._task(name))
                ]
        return found

    def needs(self, run: Run) -> list[Run]:
        """Return the runs that this one cannot begin without."""
        if run.arm is None:
            return []
        base = [Run(run.task, None)]
        if run.rate is not None:
            return base
        arm = ARMS[run.arm]
        tried = [Run(run.task, arm.rate_of, 0, rate) for rate in RATES]
        return [*base, *tried, *([Run(run.task, arm.start, run.seed)] if arm.start else [])]

    def done(self, run: Run) -> bool:
        """Whether it has come to its end."""
        folder = run.folder(self.output)
        return folder.summary.exists() if run.arm else folder.after.exists()

    def error(self, run: Run) -> Path:
        """Where it is kept why a run failed; it is tried again once that is deleted."""
        return run.folder(self.output).path / "error.txt"

    def over(self, run: Run) -> bool:
        """Whether it is done, or has failed."""
        return self.done(run) or self.error(run).exists()

    def pipeline(self, run: Run) -> Pipeline:
        """Return what a run of an arm does."""
        assert run.arm is not None
        arm, given = ARMS[run.arm], self._task(run.task)
        length = arm.length if run.final else self.rate_share
        training = dataclasses.replace(
            given.training,
            steps=max(1, round(given.training.steps * length)),
            learning_rate=self.rate(run.task, arm) if run.rate is None else run.rate,
            seed=run.seed,
        )
        if run.final and run.seed == self.curve_seed:
            third = max(1, training.steps // 3)
            training = dataclasses.replace(training, evaluate_every=third)
        return dataclasses.replace(
            given,
            data=Part(run.task, given.data, run.final),
            objective=arm.recipe(given),
            model=self._start(run, arm, given),
            training=training,
            output=str(run.folder(self.output).path),
            resume=True,
        )

    def rate(self, task: str, arm: Arm) -> float:
        """Return the learning rate with which an arm's short runs came out best."""
        name, sign = PRIMARY[task]

        def figure(rate: float) -> float:
            after = Run(task, arm.rate_of, 0, rate).folder(self.output).read_after()
            # A run that diverged has none.
            return float("-inf") if after is None else sign * after.measurements[name].mean

        return max(RATES, key=figure)

    def base(self, task: str, final: bool) -> EvaluationReport:
        """Return the base model's measurements on the rows of one part."""
        folder = Run(task, None).folder(self.output)
        report = folder.read_after() if final else folder.read_before()
        assert report is not None, f"{folder.path} has no measurement of the base model"
        return report

    def _start(self, run: Run, arm: Arm, given: Pipeline) -> str:
        if arm.start is None:
            return given.model
        return str(Run(run.task, arm.start, run.seed).folder(self.output).checkpoint)

    def _task(self, name: str) -> Pipeline:
        return task(name, self.changes)

    def write_plan(self) -> None:
        """Keep what the runs are told, and refuse a folder with runs that were told otherwise."""
        plan = {
            "rate_share": self.rate_share,
            "curve_seed": self.curve_seed,
            "changes": list(self.changes),
        }
        path = self.output / "plan.json"
        if path.exists():
            known = json.loads(path.read_text(encoding="utf-8"))
            if known != plan:
                raise SystemExit(f"{self.output} holds runs with {known}: name another folder")
        self.output.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")  # Others may write it at the same time.
        partial.write_text(json.dumps(plan) + "\n", encoding="utf-8")
        partial.replace(path)


def _verified(given: Pipeline) -> bool:
    return given.evaluation.completions is not None


def _with_starts(arms: Iterable[str]) -> list[str]:
    """Arms, and before each of them the one that it starts from."""
    found: dict[str, None] = {}
    for name in arms:
        if (start := ARMS[name].start) is not None:
            found.setdefault(start)
        found.setdefault(name)
    return list(found)
