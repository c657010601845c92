"""Seconds, as medians of interleaved repetitions."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Collection, Mapping

import torch

__all__ = ["matrix_ceiling", "median_seconds"]

# Seconds of one matrix product from which on larger ones are not tried.
_LONG = 2.0


def seconds(function: Callable[[], object], device: torch.device) -> float:
    """Wall-clock seconds of one call, work on the device included."""
    _finish(device)
    start = time.perf_counter()
    function()
    _finish(device)
    return time.perf_counter() - start


def median_seconds(
    contenders: Mapping[str, Callable[[], object]],
    repetitions: int,
    device: torch.device,
    cold: Collection[str] = (),
) -> dict[str, float]:
    """Median seconds of each contender, all of them in turn ``repetitions`` times.

    In turn, so that a machine that slows down slows all of them. Whatever is done once only
    (memory, compilation) is paid beforehand, in a round that is not counted.

    Args:
        contenders: what is timed, by name.
        repetitions: of each.
        device: where they run.
        cold: names of those that are spared the round that is not counted.
    """
    for name, function in contenders.items():
        if name not in cold:
            function()
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repetitions):
        for name, function in contenders.items():
            times[name].append(seconds(function, device))
    return {name: statistics.median(found) for name, found in times.items()}


def matrix_ceiling(dtype: torch.dtype, device: torch.device, repetitions: int = 5) -> float:
    """FLOP/s of the fastest of a few square matrix products: what the machine can do at most.

    Sizes grow as long as one product is quick: a processor without instructions for ``dtype`` would
    be at it for minutes, and is no faster with larger ones.
    """
    best = 0.0
    for size in (256, 1024, 2048, 4096) if device.type == "cpu" else (4096, 8192):
        left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        product = _product(left, right)
        first = seconds(product, device)
        best = max(best, 2 * size**3 / first)
        if first > _LONG:
            break
        for _ in range(repetitions):
            best = max(best, 2 * size**3 / seconds(product, device))
    return best


def _product(left: torch.Tensor, right: torch.Tensor) -> Callable[[], object]:
    return lambda: left @ right


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
