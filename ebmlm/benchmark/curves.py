"""How cost grows: seconds against length, samples, anchors and horizon, ours and the twin's."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ebmlm.benchmark.cases import Case
from ebmlm.benchmark.clock import median_seconds
from ebmlm.benchmark.workload import Sizes, Workload
from ebmlm.transformers_model import TransformersLanguageModel

__all__ = ["AXES", "Axis", "Point", "plot_curves", "trace", "write_points"]


@dataclass(frozen=True)
class Axis:
    """One of the sizes, and the values that it takes.

    Attributes:
        name: the letter and the word.
        vary: sizes with one value of it, from the sizes to start from and a power of two.
        powers: of two.
        value: what is drawn along the axis.
    """

    name: str
    vary: Callable[[Sizes, int], Sizes]
    powers: Sequence[int]
    value: Callable[[Sizes], int]


AXES = (
    Axis(
        "T, tokens of the sequence",
        lambda sizes, power: dataclasses.replace(sizes, length=sizes.length * 2**power // 2),
        (0, 1, 2, 3),
        lambda sizes: sizes.length,
    ),
    Axis(
        "N, rollouts per anchor",
        lambda sizes, power: dataclasses.replace(sizes, samples=2**power),
        (0, 1, 2, 3),
        lambda sizes: sizes.samples,
    ),
    Axis(
        "K, anchors",
        lambda sizes, power: dataclasses.replace(sizes, stride=32 // 2**power),
        (0, 1, 2, 3),
        lambda sizes: sizes.anchors,
    ),
    Axis(
        "G, tokens of a rollout",
        lambda sizes, power: dataclasses.replace(sizes, horizon=2 * 2**power),
        (0, 1, 2, 3),
        lambda sizes: sizes.horizon,
    ),
)
"""The four sizes that cost depends on."""


@dataclass(frozen=True)
class Point:
    """What one case took at one value of an axis; the twin's seconds are None if left out."""

    axis: str
    value: int
    case: str
    tokens: int
    seconds: float
    twin_seconds: float | None


def trace(
    model: TransformersLanguageModel,
    cases: Sequence[Callable[[Workload], Case]],
    sizes: Sizes,
    *,
    repetitions: int,
    mixed: bool,
    twin: bool,
    seen: Callable[[Point], None],
) -> list[Point]:
    """Time cases along every axis, starting from ``sizes``.

    Args:
        model: whose passes are timed.
        cases: what is timed.
        sizes: what stays as it is while one of them varies.
        mixed: whether passes compute in bfloat16 over float32 weights.
        repetitions: of each; the twin, which takes minutes, is timed once.
        twin: whether the twin is timed at all.
        seen: told of each point as it is measured.

    Raises:
        UserError: for sizes that the model has no positions for.
    """
    for axis in AXES:
        for power in axis.powers:
            # Before anything is timed.
            model.check_length(axis.vary(sizes, power).tokens)
    points = []
    for axis in AXES:
        for power in axis.powers:
            workload = Workload(model, axis.vary(sizes, power), mixed)
            for make in cases:
                case = make(workload)
                ours = median_seconds({"ours": case.ours}, repetitions, model.device)["ours"]
                slow = None
                if twin:
                    slow = median_seconds({"twin": case.twin}, 1, model.device, {"twin"})["twin"]
                value = axis.value(workload.sizes)
                point = Point(axis.name, value, case.name, case.tokens, ours, slow)
                seen(point)
                points.append(point)
    return points


def write_points(points: Sequence[Point], path: Path) -> None:
    """Write one JSON object a line; the file appears whole or not at all."""
    partial = path.with_suffix(".partial")
    lines = [json.dumps(dataclasses.asdict(point)) for point in points]
    partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    partial.replace(path)


def plot_curves(points: Sequence[Point], title: str, path: Path) -> None:
    """Draw seconds against every axis into a PNG, a row of plots for each case.

    Args:
        points: from :func:`trace`.
        title: says what was measured where.
        path: the PNG, replaced as a whole.

    Raises:
        ModuleNotFoundError: if matplotlib is not installed (``pip install 'ebmlm[demo]'``).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    cases = list(dict.fromkeys(point.case for point in points))
    axes_names = list(dict.fromkeys(point.axis for point in points))
    figure: Any = Figure(figsize=(15, 3.4 * len(cases) + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=10)
    grid = figure.subplots(len(cases), len(axes_names), squeeze=False)
    for row, case in zip(grid, cases, strict=True):
        for axes, name in zip(row, axes_names, strict=True):
            _draw(axes, [point for point in points if (point.case, point.axis) == (case, name)])
            axes.set_title(case, fontsize=10)
            axes.set_xlabel(name, fontsize=9)
    grid[0][0].legend(fontsize=8)
    for row in grid:
        row[0].set_ylabel("seconds", fontsize=9)
    partial = path.with_suffix(".partial.png")
    figure.savefig(partial, dpi=110)
    partial.replace(path)


def _draw(axes: Any, points: Sequence[Point]) -> None:
    """Ours and the twin's seconds, and what would be proportional to the first of ours."""
    values = [point.value for point in points]
    slow = [(point.value, point.twin_seconds) for point in points if point.twin_seconds]
    if slow:
        axes.plot(*zip(*slow, strict=True), color="tab:gray", marker="s", label="naive twin")
    axes.plot(
        values, [point.seconds for point in points], color="tab:blue", marker="o", label="ours"
    )
    first = points[0]
    axes.plot(
        values,
        [first.seconds * value / first.value for value in values],
        color="tab:blue",
        alpha=0.4,
        linestyle="--",
        label="in proportion",
    )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xticks(values, [str(value) for value in values])
    axes.yaxis.set_major_formatter(lambda tick, place: f"{tick:g}")
    axes.minorticks_off()
    axes.grid(alpha=0.3)
