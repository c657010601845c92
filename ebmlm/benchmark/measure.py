"""Cases, measured: time against twin and floor, memory, and the share of the machine's best."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ebmlm.benchmark.cases import Call, Case
from ebmlm.benchmark.clock import median_seconds
from ebmlm.benchmark.memory import peak_bytes

__all__ = ["Measurement", "measure"]


@dataclass(frozen=True)
class Measurement:
    """What one case took.

    Attributes:
        case: its name.
        seconds: median over interleaved repetitions.
        twin_ratio: the twin's seconds over ours; None where the twin was left out.
        floor_ratio: our seconds over the floor's.
        tokens_per_second: tokens of trunk and branches.
        flops_fraction: needed FLOP/s over those of the best matrix product measured.
        peak_bytes: most memory above what there was before.
        twin_peak_bytes: of the twin, or None.
        floor_peak_bytes: of the floor.
    """

    case: str
    seconds: float
    twin_ratio: float | None
    floor_ratio: float
    tokens_per_second: float
    flops_fraction: float
    peak_bytes: int
    twin_peak_bytes: int | None
    floor_peak_bytes: int

    def as_json(self) -> dict[str, object]:
        """The same as a dictionary."""
        return dataclasses.asdict(self)


def measure(
    cases: Sequence[Case], ceiling: float, device: torch.device, *, repetitions: int, twin: bool
) -> list[Measurement]:
    """Time cases beside their floors and, if wanted, their twins; then watch their memory.

    Args:
        cases: what is timed.
        ceiling: FLOP/s of the best matrix product.
        device: where they run.
        repetitions: of each, interleaved.
        twin: whether the twins are timed too; they take ten times as long.
    """
    taken = [_timed(case, repetitions, device, twin) for case in cases]
    return [
        _measurement(case, seconds, ceiling, device)
        for case, seconds in zip(cases, taken, strict=True)
    ]


def _timed(case: Case, repetitions: int, device: torch.device, twin: bool) -> dict[str, float]:
    """Median seconds; the twins, which take minutes, have no round that is not counted."""
    known = {"twin"} if twin else set()
    return median_seconds(_contenders(case, twin), repetitions, device, cold=known)


def _contenders(case: Case, twin: bool) -> dict[str, Call]:
    contenders = {"ours": case.ours, "floor": case.floor}
    return contenders | ({"twin": case.twin} if twin else {})


def _measurement(
    case: Case, seconds: dict[str, float], ceiling: float, device: torch.device
) -> Measurement:
    contenders = _contenders(case, "twin" in seconds)
    peaks = {name: peak_bytes(function, device) for name, function in contenders.items()}
    ours = seconds["ours"]
    return Measurement(
        case=case.name,
        seconds=ours,
        twin_ratio=seconds["twin"] / ours if "twin" in seconds else None,
        floor_ratio=ours / seconds["floor"],
        tokens_per_second=case.tokens / ours,
        flops_fraction=case.flops / ours / ceiling,
        peak_bytes=peaks["ours"],
        twin_peak_bytes=peaks.get("twin"),
        floor_peak_bytes=peaks["floor"],
    )
