"""``ebmlm bench``: how long each pass takes, against its naive twin and against its floor."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ebmlm.cli.parsing import ConfigParser
from ebmlm.errors import UserError

if TYPE_CHECKING:
    import torch

    from ebmlm.benchmark.measure import Measurement
    from ebmlm.benchmark.workload import Sizes
    from ebmlm.transformers_model import TransformersLanguageModel

__all__ = ["bench"]

_DESCRIPTION = (
    "Times the passes over the prefix tree beside their naive twins (the trunk repeated, nothing"
    " cached) and their floors (a plain pass over as many tokens), in one run."
)


def bench(arguments: Sequence[str]) -> int:
    """Measure what was asked for and print it; returns the exit status."""
    given = _parser().parse_args(list(arguments))
    for name in ("length", "samples", "horizon", "stride", "context", "repetitions"):
        if getattr(given, name) < 1:
            raise UserError(f"--{name} is {getattr(given, name)}: it must be at least 1")

    import torch

    from ebmlm.benchmark.cases import CASES
    from ebmlm.benchmark.clock import matrix_ceiling
    from ebmlm.benchmark.measure import measure
    from ebmlm.benchmark.workload import Sizes, Workload

    device = _device(given.device)
    if given.flex and device.type == "cpu":
        raise UserError("--flex has no backward pass on a CPU: use --device cuda, or leave it out")
    unknown = [name for name in given.cases if name not in CASES]
    if unknown:
        raise UserError(f"no case '{unknown[0]}': there are {', '.join(CASES)}")
    model = _model(given, device)
    sizes = Sizes(given.length, given.samples, given.horizon, given.stride, given.context)
    if given.curves is not None:
        return _curves(model, sizes, given)
    workload = Workload(model, sizes, given.mixed)
    ceiling = matrix_ceiling(torch.bfloat16, device)
    cases = [CASES[name](workload) for name in given.cases or CASES]
    found = measure(cases, ceiling, device, repetitions=given.repetitions, twin=not given.no_twin)
    if given.json:
        for measurement in found:
            print(json.dumps(measurement.as_json()))
        return 0
    _print(found, given, sizes.anchors, ceiling)
    return 0


def _parser() -> Any:
    parser = ConfigParser(prog="ebmlm bench", description=_DESCRIPTION, allow_abbrev=False)
    parser.add_argument("cases", nargs="*", help="rollout, features, score, step; all by default")
    parser.add_argument("--json", action="store_true", help="print one JSON object per case")
    parser.add_argument("--device", type=str, default="cpu", help="cpu or cuda")
    parser.add_argument("--model", type=str, default="smollm2-135m", help="name, folder or hub id")
    parser.add_argument("--length", type=int, default=1024, help="tokens of the sequence, T")
    parser.add_argument("--samples", type=int, default=4, help="rollouts per anchor, N")
    parser.add_argument("--horizon", type=int, default=8, help="tokens of a rollout, G")
    parser.add_argument("--stride", type=int, default=8, help="tokens between anchors")
    parser.add_argument("--context", type=int, default=8, help="tokens before the first anchor")
    parser.add_argument("--repetitions", type=int, default=3, help="of each, interleaved")
    parser.add_argument(
        "--curves",
        type=str,
        default=None,
        help="a folder: time the cases against T, N, K and G instead, from half of --length on,"
        " and write curves.jsonl and curves.png there",
    )
    parser.add_argument(
        "--mixed",
        action="store_true",
        help="float32 weights and bfloat16 passes, as in training, instead of bfloat16 weights",
    )
    parser.add_argument(
        "--flex", action="store_true", help="flex attention over the tree, for GPUs; untested there"
    )
    parser.add_argument("--no-twin", action="store_true", help="leave out the slow naive twins")
    return parser


def _device(name: str) -> torch.device:
    import torch

    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"--device is '{name}': use cpu or cuda") from error
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"--device is '{name}': use cpu or cuda")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError("--device is 'cuda', and torch finds no GPU here: use --device cpu")
    return device


def _model(given: Any, device: torch.device) -> TransformersLanguageModel:
    """Weights in bfloat16 for everybody, or in float32 where passes round them."""
    import torch

    from ebmlm import load
    from ebmlm.flex import FlexTreePass
    from ebmlm.transformers_model import TransformersLanguageModel

    model, _ = load(given.model)
    model.model.to(device=device, dtype=torch.float32 if given.mixed else torch.bfloat16)
    if not given.flex:
        return model
    return TransformersLanguageModel(model.model, model.end_tokens, tree_attention=FlexTreePass)


def _curves(model: TransformersLanguageModel, sizes: Sizes, given: Any) -> int:
    from rich.console import Console

    from ebmlm.benchmark.cases import CASES
    from ebmlm.benchmark.curves import plot_curves, trace, write_points

    folder = Path(given.curves)
    folder.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=True)
    points = trace(
        model,
        [CASES[name] for name in given.cases or CASES],
        sizes,
        repetitions=given.repetitions,
        mixed=given.mixed,
        twin=not given.no_twin,
        seen=lambda point: console.print(point, highlight=False),
    )
    write_points(points, folder / "curves.jsonl")
    title = (
        f"{given.model}, {_precision(given.mixed)}, {given.device}; where they do not vary:"
        f" T = {sizes.length}, N = {sizes.samples}, G = {sizes.horizon}, stride {sizes.stride}"
    )
    plot_curves(points, title, folder / "curves.png")
    if given.json:
        print((folder / "curves.jsonl").read_text(encoding="utf-8"), end="")
    else:
        Console().print(f"curves: {folder}")
    return 0


def _precision(mixed: bool) -> str:
    return "float32 weights and bfloat16 passes" if mixed else "bfloat16"


def _print(found: Sequence[Measurement], given: Any, anchors: int, ceiling: float) -> None:
    import torch
    from rich.console import Console
    from rich.table import Table

    sizes = f"T = {given.length}, K = {anchors}, N = {given.samples}, G = {given.horizon}"
    threads = f"{torch.get_num_threads()} threads" if given.device == "cpu" else given.device
    title = (
        f"{given.model}, {_precision(given.mixed)}, one sequence, {sizes}, {threads},"
        f" torch {torch.__version__};"
        f" best matrix product {ceiling / 1e9:.0f} GFLOP/s"
    )
    table = Table(title=title, title_justify="left")
    table.add_column("case")
    for name in (
        "seconds",
        "twin / ours",
        "ours / floor",
        "tokens/s",
        "of best FLOP/s",
        "peak GB",
        "twin GB",
        "floor GB",
    ):
        table.add_column(name, justify="right")
    for one in found:
        table.add_row(
            one.case,
            f"{one.seconds:.2f}",
            "-" if one.twin_ratio is None else f"{one.twin_ratio:.1f}",
            f"{one.floor_ratio:.2f}",
            f"{one.tokens_per_second:.0f}",
            f"{one.flops_fraction:.0%}",
            f"{one.peak_bytes / 1e9:.2f}",
            "-" if one.twin_peak_bytes is None else f"{one.twin_peak_bytes / 1e9:.2f}",
            f"{one.floor_peak_bytes / 1e9:.2f}",
        )
    Console().print(table)
