"""``ebmlm data TASK``: what a task or another source holds, in numbers and samples."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ebmlm.cli.parsing import ConfigParser
from ebmlm.data.suggestions import nearest
from ebmlm.errors import UserError

if TYPE_CHECKING:
    from ebmlm.data.pair import Pair
    from ebmlm.data.source import Document
    from ebmlm.data.tasks.statistics import SourceStatistics

__all__ = ["data"]

_SAMPLE_CHARACTERS = 600


def data(arguments: Sequence[str]) -> int:
    """Read a source and print what it holds; returns the exit status."""
    given = list(arguments)
    if not given or given[0] in ("-h", "--help"):
        print(_usage())
        if given:
            raise SystemExit(0)
        return 2
    if given[0].startswith("-"):
        raise UserError(f"'{given[0]}' stands before the task: write ebmlm data TASK [options]")
    task = _source_class(given[0])
    parser = _parser(task, given[0])
    try:
        options = parser.instantiate(parser.parse_args(given[1:]))
        source = task(**{name: options[name] for name in _options(task)})
    except ValueError as error:
        if isinstance(error, UserError):
            raise
        raise UserError(" ".join(str(error).split())) from error
    return _shown(source, options)


def _shown(source: Any, options: Any) -> int:
    from ebmlm.data.near_copies import NearCopies
    from ebmlm.data.split import HashSplit
    from ebmlm.data.tasks.statistics import SourceStatistics

    if options.show < 0:
        raise UserError(f"--show is {options.show}: it must be at least 0")
    split: HashSplit | None = HashSplit(options.validation, options.salt, options.test)
    if getattr(source, "test_only", False):
        split = None
    near_copies = (
        None
        if options.near_copies is None
        else NearCopies(options.near_copies, prompts=options.prompts_only)
    )
    tokenizer = None
    if options.model is not None:
        from ebmlm.models import load_pretrained

        _, tokenizer = load_pretrained(options.model)
    corpus = source.read()
    statistics = SourceStatistics.of(corpus, split, tokenizer, near_copies)
    samples = _spread(corpus.documents, options.show)
    if options.json:
        told = {
            "source": repr(source),
            "packages": _versions(source),
            "statistics": dataclasses.asdict(statistics),
            "samples": [_as_json(sample) for sample in samples],
        }
        print(json.dumps(told))
    else:
        _print(source, statistics, samples)
    return 0


def _source_class(name: str) -> type[Any]:
    from ebmlm.data.tasks.statistics import is_source

    known = _known()
    if name in known:
        return known[name]
    module, _, attribute = name.rpartition(".")
    if not module:
        raise UserError(
            f"no task '{name}'{nearest(name, known)}; there are {', '.join(known)}, and any class"
            " of sources by its path, such as my_module.MySource"
        )
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"'{name}' cannot be imported ({error}); write it as a class path"
        ) from error
    if not is_source(found):
        raise UserError(
            f"'{name}' is no class of sources: it must be a subclass of ebmlm.data.PairSource or"
            " ebmlm.data.TextSource that can be built"
        )
    return found


def _known() -> dict[str, type[Any]]:
    """Sources by name: the tasks first, then those that are given a file or a dataset."""
    from ebmlm import data as sources
    from ebmlm.data import tasks
    from ebmlm.data.tasks.statistics import is_source

    found = {}
    for module in (tasks, sources):
        for name in module.__all__:
            part = getattr(module, name)
            if is_source(part):
                found[name] = part
    return found


def _usage() -> str:
    lines = ["usage: ebmlm data TASK [options]", "", "tasks and other sources:"]
    for name, source in _known().items():
        lines.append(f"  {name:22} {(source.__doc__ or '').strip().splitlines()[0]}")
    shared = _shared_parser("ebmlm data").format_help()
    options = shared[shared.index("options:") :].rstrip()
    return "\n".join([*lines, "", options, "", "`ebmlm data TASK --help` explains the task's own."])


def _options(task: type[Any]) -> list[str]:
    return (
        [each.name for each in dataclasses.fields(task)] if dataclasses.is_dataclass(task) else []
    )


def _parser(task: type[Any], name: str) -> Any:
    parser = _shared_parser(f"ebmlm data {name}")
    parser.add_class_arguments(task, None)
    return parser


def _shared_parser(program: str) -> Any:
    parser = ConfigParser(
        prog=program,
        description="Statistics and samples of a source of texts or of prompts and completions.",
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--show", type=int, default=3, help="samples to show, spread evenly")
    parser.add_argument(
        "--model", type=str, default=None, help="count tokens as this model does, not characters"
    )
    parser.add_argument(
        "--near-copies",
        type=float,
        default=None,
        help="also count near-copies between the parts, from this word-trigram similarity on",
    )
    parser.add_argument(
        "--prompts-only", action="store_true", help="look for near-copies among prompts alone"
    )
    parser.add_argument("--validation", type=float, default=0.1, help="share of keys to hold out")
    parser.add_argument("--test", type=float, default=0.1, help="share of keys for a last look")
    parser.add_argument("--salt", type=str, default="ebmlm", help="hashed with each key")
    return parser


def _spread(items: Sequence[Any], number: int) -> list[Any]:
    number = min(number, len(items))
    return [items[place * len(items) // number] for place in range(number)]


def _as_json(item: Pair | Document) -> dict[str, Any]:
    columns = getattr(item, "columns", None)
    told = {each.name: getattr(item, each.name) for each in dataclasses.fields(item)}
    if columns is not None:
        told["columns"] = {
            name: _cut(value) if isinstance(value, str) else value
            for name, value in columns.items()
        }
    return told


def _cut(text: str) -> str:
    if len(text) <= _SAMPLE_CHARACTERS:
        return text
    return f"[...]{text[-_SAMPLE_CHARACTERS:]}"


def _versions(source: Any) -> dict[str, str]:
    from ebmlm.data.tasks.packages import installed, package_version

    read = getattr(source, "read_packages", None)
    return {name: package_version(name) for name in installed(read())} if read else {}


def _print(source: Any, statistics: SourceStatistics, samples: Sequence[Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    skipped = ", ".join(f"{count} {reason}" for reason, count in statistics.skipped.items())
    console.print(
        f"{type(source).__name__}: {statistics.items} items under {statistics.keys} keys;"
        f" left out: {skipped or 'nothing'}",
        highlight=False,
    )
    if versions := _versions(source):
        console.print(
            "from " + ", ".join(f"{name} {version}" for name, version in versions.items()),
            highlight=False,
        )
    console.print(_table(statistics))
    for name, part in statistics.parts.items():
        if "fit" in part:
            fits = ", ".join(f"{count:,} in {limit}" for limit, count in part["fit"].items())
            console.print(f"{name} pairs that fit in so many tokens: {fits}", highlight=False)
    if statistics.unsplit:
        console.print(f"not split: {statistics.unsplit}", highlight=False)
    elif statistics.duplicates:
        console.print(
            f"dropped because they stand in another part: {statistics.duplicates}", highlight=False
        )
    if statistics.near_copies is not None:
        console.print(_near_copies(statistics), highlight=False)
    for sample in samples:
        table = Table(title=Text(sample.key), title_justify="left", show_header=False)
        table.add_column()
        table.add_column(overflow="fold")
        for name, text in _sides(sample).items():
            table.add_row(name, Text(_cut(text)))
        console.print(table)


def _near_copies(statistics: SourceStatistics) -> str:
    assert statistics.near_copies is not None
    counts = dict(statistics.near_copies)
    threshold = counts.pop("threshold")
    told = []
    for name, count in counts.items():
        if name in statistics.parts:
            items = statistics.parts[name]["items"]
            told.append(f"{count} of {items} ({count / items:.1%}) in {name}")
    return (
        f"with a near-copy across the split (similarity {threshold:g} or more): {', '.join(told)}"
    )


def _sides(sample: Any) -> Mapping[str, str]:
    from ebmlm.data.pair import Pair
    from ebmlm.data.tasks.statistics import text_of

    if isinstance(sample, Pair):
        return {"prompt": text_of(sample.prompt), "completion": text_of(sample.completion)}
    return {"text": sample.text}


def _table(statistics: SourceStatistics) -> Any:
    from rich.table import Table

    table = Table(title=f"lengths in {statistics.unit}", title_justify="left")
    table.add_column("part")
    table.add_column("side")
    for name in ("items", "total", "median", "9 of 10", "longest"):
        table.add_column(name, justify="right")
    for name, part in statistics.parts.items():
        for number, (side, lengths) in enumerate(part["lengths"].items()):
            cells = [lengths.total, lengths.median, lengths.nine_tenths, lengths.longest]
            first = number == 0
            table.add_row(
                name if first else "",
                side,
                f"{part['items']:,}" if first else "",
                *(f"{cell:,}" for cell in cells),
            )
    return table
