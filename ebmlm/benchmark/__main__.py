"""``python -m ebmlm.benchmark``: rollouts, features and scoring against their naive twins.

Interleaved repetitions in one process, medians. Peak memory is the process's resident set above
what it had before the step, watched from a thread.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch

from ebmlm.benchmark.twins import twin_features, twin_log_probs, twin_rollouts
from ebmlm.features import HiddenStateFeatures
from ebmlm.rollouts import Rollouts, SequenceBatch
from ebmlm.samplers import BlockParallelSampler, StridedAnchors
from ebmlm.transformers_model import TransformersLanguageModel


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


class _Peak:
    """Largest resident set while the block runs, above what there was before it."""

    def __enter__(self) -> _Peak:
        self.base = self.largest = _resident()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            self.largest = max(self.largest, _resident())

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def above(self) -> int:
        return self.largest - self.base


def _seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def _compare(
    name: str, ours: Callable[[], object], twin: Callable[[], object], repetitions: int
) -> None:
    ours()  # once to warm up
    times: list[tuple[float, float]] = []
    for _ in range(repetitions):
        times.append((_seconds(ours), _seconds(twin)))
    fast, slow = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"{name:28} {fast:8.2f} s   twin {slow:8.2f} s   {slow / fast:6.1f} times", flush=True)


def _case(model: TransformersLanguageModel, length: int, samples: int, repetitions: int) -> None:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(100, model.vocabulary_size, (1, length), generator=generator)
    batch = SequenceBatch.of(tokens)
    sampler = BlockParallelSampler(StridedAnchors(8, 8), 8, samples)
    no_end = model.end_tokens
    model.end_tokens = ()

    def draw() -> Rollouts:
        return sampler.sample(model, batch, generator=torch.Generator().manual_seed(1))

    rollouts = draw()
    network = model.frozen()
    features = HiddenStateFeatures(network)
    name = f"T={length}"
    _compare(f"{name} rollouts", draw, lambda: twin_rollouts(model, rollouts), repetitions)
    _compare(
        f"{name} features",
        lambda: features(rollouts),
        lambda: twin_features(network, rollouts, features.layers),
        repetitions,
    )

    def score() -> None:
        model.score(rollouts).completions.sum().backward()
        model.model.zero_grad()

    def twin_score() -> None:
        for sample in range(samples):
            twin_log_probs(model, rollouts, sample).sum().backward()
        model.model.zero_grad()

    _compare(f"{name} scoring with gradient", score, twin_score, repetitions)
    model.end_tokens = no_end


def _step(model: TransformersLanguageModel, length: int, samples: int) -> None:
    """A training step as the trainer makes it: float32 weights, bfloat16 passes.

    In a process of its own, since memory that earlier cases have freed would hide what it takes.
    """
    from ebmlm.objectives.recipes import ebft

    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(100, model.vocabulary_size, (1, length), generator=generator)
    with torch.autocast(model.device.type, torch.bfloat16):
        objective = ebft(model, samples=samples)

    def step() -> None:
        with torch.autocast(model.device.type, torch.bfloat16):
            estimate = objective.loss(model, SequenceBatch.of(tokens))
        estimate.loss.backward()

    with _Peak() as peak:
        first = _seconds(step)
    second = _seconds(step)
    print(
        f"T={length} training step: {first:.1f} s, then {second:.1f} s;"
        f" peak {peak.above / 1e9:.2f} GB above the models, float32 gradients included"
    )


def main() -> None:
    """Run the comparison for the model and lengths that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m ebmlm.benchmark", description=__doc__)
    parser.add_argument("--model", default="smollm2-135m", help="name, folder or hub id")
    parser.add_argument("--length", type=int, nargs="+", default=[256, 1024], help="tokens")
    parser.add_argument("--samples", type=int, default=4, help="rollouts per anchor")
    parser.add_argument("--repetitions", type=int, default=3, help="of each, interleaved")
    parser.add_argument(
        "--step", action="store_true", help="only one training step, and the memory it takes"
    )
    given = parser.parse_args()

    from ebmlm import load

    model, _ = load(given.model)
    if given.step:
        for length in given.length:
            _step(model, length, given.samples)
        return
    # Weights in bfloat16 for both, as the twin would have them.
    model.model.to(torch.bfloat16)
    print(
        f"{given.model}, bfloat16, one sequence, N={given.samples}, horizon = stride = context = 8,"
        f" {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    for length in given.length:
        _case(model, length, given.samples, given.repetitions)


if __name__ == "__main__":
    main()
