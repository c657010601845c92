"""EBFT against SFT and RLVR: all runs of the study, as many at once as are asked for.

    python examples/studies/claim/study.py --tasks text answers translation --workers 12

Learning rates are chosen first, by short runs that are measured on validation rows; then every arm
is run with every seed and measured on test rows. The same command goes on where it was stopped: a
run that has come to its end is not run again. docs/results.md has what came out.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import multiprocessing
import os
import shutil
import time
import traceback
from collections.abc import Callable
from concurrent.futures import (
    FIRST_COMPLETED,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from pathlib import Path

import torch
from arms import ARMS, MAIN
from plan import PRIMARY, Part, Run, Study, task

import ebmlm

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
parser.add_argument("--tasks", nargs="+", default=list(PRIMARY), choices=list(PRIMARY))
parser.add_argument("--arms", nargs="+", default=list(MAIN), choices=list(ARMS))
parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
parser.add_argument("--workers", type=int, default=1, help="runs at once, on one device")
parser.add_argument("--rate-share", type=float, default=1 / 3, help="length of short runs")
parser.add_argument("--minutes", type=float, default=float("inf"), help="then nothing is begun")
parser.add_argument("--output", type=Path, default=Path("runs/claim"))


def measure_base(study: Study, run: Run) -> None:
    """Measure the base model once, on the rows of both parts."""
    folder = run.folder(study.output)
    folder.path.mkdir(parents=True, exist_ok=True)
    given = task(run.task, study.changes)
    for final, write in ((False, folder.write_before), (True, folder.write_after)):
        part = dataclasses.replace(given, data=Part(run.task, given.data, final))
        write(part.measured())


def train(study: Study, run: Run) -> None:
    """Train one arm; a checkpoint is kept where another arm starts from it."""
    from rich.console import Console

    folder = run.folder(study.output)
    folder.path.mkdir(parents=True, exist_ok=True)
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
    except Exception as error:  # One run that fails is told of, and the others go on.
        (run.folder(study.output).path / "error.txt").write_text(traceback.format_exc())
        return f"failed: {type(error).__name__}: {error}"
    finally:
        gc.collect()
    return f"{time.monotonic() - started:.0f} s"


def go(study: Study, runs: list[Run], workers: int, until: Callable[[], bool]) -> None:
    """Do all runs, each once those that it needs are done, until time is up."""
    ready = [run for run in runs if not study.done(run)]
    pool = _pool(workers)
    running: dict[Future[str], Run] = {}
    failed: set[Run] = set()
    started = time.monotonic()
    while (ready or running) and not (until() and not running):
        for run in list(ready):
            needs = study.needs(run)
            if len(running) >= workers or until():
                break
            # Of the rates that were tried some may have diverged.
            if all(study.done(one) or (one in failed and one.rate) for one in needs):
                ready.remove(run)
                running[pool.submit(work, study, run)] = run
        if not running:
            break
        over, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in over:
            run = running.pop(future)
            outcome = future.result()
            if outcome.startswith("failed"):
                failed.add(run)
            name = run.folder(study.output).path.relative_to(study.output)
            print(f"{time.monotonic() - started:6.0f} s  {name}: {outcome}", flush=True)
    pool.shutdown()
    print(f"{sum(map(study.done, runs))} of {len(runs)} runs are done")


def _pool(workers: int) -> Executor:
    """Processes that begin as copies of this one, with the rows that it has read."""
    if workers == 1:
        return ThreadPoolExecutor(1)  # It is this process itself.
    # One thread each: those of the process that is copied are not there.
    fork = multiprocessing.get_context("fork")
    return ProcessPoolExecutor(workers, fork, torch.set_num_threads, (1,))


if __name__ == "__main__":
    options, changes = parser.parse_known_args()
    study = Study(options.output, options.rate_share, tuple(changes))
    study.write_plan()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    wanted = study.runs(options.tasks, options.arms, options.seeds)
    _, tokeniser = ebmlm.load(task(options.tasks[0], study.changes).model)
    for name in options.tasks:
        Part(name, task(name, study.changes).data, False).prepare(tokeniser)
    begun = time.monotonic()
    go(study, wanted, options.workers, lambda: time.monotonic() - begun > 60 * options.minutes)
