"""EBFT against SFT and RLVR: all runs of the study.

    python examples/studies/claim/study.py --tasks text answers translation

Learning rates are chosen first, by short runs that are measured on validation rows; then every arm
is run with every seed and measured on test rows. The same command goes on where it was stopped: a
run that has come to its end is not run again. Started several times at once, the processes share
the work. docs/results.md has what came out.
"""

# %%
from __future__ import annotations

import argparse
import dataclasses
import gc
import shutil
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch
from arms import ARMS, MAIN
from filelock import FileLock, Timeout
from plan import PRIMARY, Part, Run, Study, task

parser = argparse.ArgumentParser(
    description="Runs the study; options of `ebmlm train` hold for every task."
)
parser.add_argument("--tasks", nargs="+", default=list(PRIMARY), choices=list(PRIMARY))
parser.add_argument("--arms", nargs="+", default=list(MAIN), choices=list(ARMS))
parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
parser.add_argument("--variants", type=int, default=0, help="seeds of each, after the arms")
parser.add_argument(
    "--variant-tasks", nargs="+", default=["text", "answers"], choices=list(PRIMARY)
)
parser.add_argument("--rate-share", type=float, default=1 / 3, help="length of short runs")
parser.add_argument("--curve-seed", type=int, default=0, help="measured on the way, too")
parser.add_argument("--minutes", type=float, default=float("inf"), help="then nothing is begun")
parser.add_argument("--output", type=Path, default=Path("runs/claim"))


# %%
def measure_base(study: Study, run: Run) -> None:
    """Measure the base model once, on the rows of both parts."""
    folder = run.folder(study.output)
    given = task(run.task, study.changes)
    for final, write in ((False, folder.write_before), (True, folder.write_after)):
        part = dataclasses.replace(given, data=Part(run.task, given.data, final))
        write(part.measured())


def train(study: Study, run: Run) -> None:
    """Train one arm; a checkpoint is kept where another arm starts from it."""
    from rich.console import Console

    folder = run.folder(study.output)
    folder.metrics.unlink(missing_ok=True)
    folder.write_before(study.base(run.task, run.final))
    with (folder.path / "log.txt").open("w", encoding="utf-8") as log:
        study.pipeline(run).run(Console(file=log, width=100))
    if not any(run.final and arm.start == run.arm for arm in ARMS.values()):
        shutil.rmtree(folder.checkpoint)


def work(study: Study, run: Run) -> str:
    """Do one run; returns how long it took, or why it failed."""
    started = time.monotonic()
    try:
        (measure_base if run.arm is None else train)(study, run)
    except Exception as error:  # The others go on.
        study.error(run).write_text(traceback.format_exc(), encoding="utf-8")
        return f"failed: {type(error).__name__}: {error}"
    finally:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return f"{time.monotonic() - started:.0f} s"


def go(study: Study, runs: list[Run], until: Callable[[], bool]) -> None:
    """Do what is left of the runs, each once those that it needs are done, until time is up."""
    started = time.monotonic()
    while not until():
        left = [run for run in runs if not study.over(run)]
        busy = False
        for run in left:
            if not all(study.over(one) for one in study.needs(run)):
                continue
            folder = run.folder(study.output).path
            folder.mkdir(parents=True, exist_ok=True)
            try:
                with FileLock(folder / ".lock", timeout=0):
                    if study.over(run):
                        continue
                    outcome = work(study, run)
            except Timeout:  # Another process is at it.
                busy = True
                continue
            name = folder.relative_to(study.output)
            print(f"{time.monotonic() - started:6.0f} s  {name}: {outcome}", flush=True)
            break
        else:
            if not busy:
                break
            time.sleep(1)
    print(f"{sum(map(study.done, runs))} of {len(runs)} runs are done")


# %%
if __name__ == "__main__":
    options, changes = parser.parse_known_args()
    study = Study(options.output, options.rate_share, options.curve_seed, tuple(changes))
    study.write_plan()
    wanted = study.runs(options.tasks, options.arms, options.seeds)
    variants = [name for name in ARMS if name not in MAIN]
    wanted += study.runs(options.variant_tasks, variants, range(options.variants))
    wanted = list(dict.fromkeys(wanted))
    begun = time.monotonic()
    go(study, wanted, lambda: time.monotonic() - begun > 60 * options.minutes)
