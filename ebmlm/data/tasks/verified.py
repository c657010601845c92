"""Which functions, cut where, are items at all? Known from an index, or found by running them.

An item counts where the function passes its own examples, and fails them with each of three
statements in place of what is missing: ``pass``, ``return None`` and ``raise``. So the missing
lines are run, and matter.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from uuid import uuid4

from ebmlm.data.tasks.function_text import FunctionText
from ebmlm.data.tasks.packages import Module, package_version
from ebmlm.models.cache import cache_folder
from ebmlm.models.notice import notify

__all__ = ["SHIPPED", "Verdicts", "judge", "shipped_verdicts", "verified"]

STUBS = ("pass", "return None", "raise NotImplementedError")
_SECONDS = 5
# Sets and dictionaries of texts come in another order with another seed.
_HASH_SEEDS = ("1", "2")
SHIPPED = "verified.json.gz"

Place = tuple[FunctionText, int]
"""A function, and the first line that is missing."""


@dataclass(frozen=True)
class Verdicts:
    """What is known of places, by package, version, file and line.

    Attributes:
        files: by ``"package version path digest"``, of each function's line the first missing
            lines that were tried: as they are where the item counts, negative where not.
    """

    files: Mapping[str, Mapping[str, Sequence[int]]]

    def of(self, function: FunctionText, first: int) -> bool | None:
        """Return whether an item counts, None if that is not known."""
        known = self.files.get(_file(function.module), {}).get(str(function.line), ())
        return True if first in known else False if -first in known else None

    def also(self, others: Verdicts) -> Verdicts:
        """Return what is known by either."""
        files: dict[str, dict[str, Sequence[int]]] = {
            file: dict(lines) for file, lines in self.files.items()
        }
        for file, lines in others.files.items():
            mine = files.setdefault(file, {})
            for line, firsts in lines.items():
                mine[line] = sorted({*mine.get(line, ()), *firsts}, key=abs)
        return Verdicts(files)


@cache
def shipped_verdicts() -> Verdicts:
    """Return the verdicts that come with this package."""
    path = files("ebmlm.data.tasks").joinpath(SHIPPED)
    if not path.is_file():
        return Verdicts({})
    return Verdicts(json.loads(gzip.decompress(path.read_bytes())))


def verified(places: Sequence[Place]) -> list[bool]:
    """Return whether each item counts.

    What the index does not know (another version of a package, another cut) is run now, once, and
    kept in the cache folder.
    """
    known = shipped_verdicts()
    if any(known.of(*place) is None for place in places):
        path = cache_folder() / "tasks" / "verified.json"
        kept = _read(path)
        known = known.also(kept)
        unknown = [place for place in places if known.of(*place) is None]
        if unknown:
            packages = sorted({place[0].module.package for place in unknown})
            notify(
                f"running the doctests of {len(unknown)} functions of {', '.join(packages)}, once;"
                f" expect about {max(1, round(len(unknown) / 300))} min"
            )
            found = judge(unknown)
            # Read again: another process may have added its own meanwhile.
            _write(path, _read(path).also(found))
            known = known.also(found)
    return [bool(known.of(*place)) for place in places]


def judge(places: Sequence[Place]) -> Verdicts:
    """Run the examples of functions, whole and cut short, in a process of its own.

    The code that runs is the installed packages' own, in a fresh working folder and with a time
    limit. A package's modules are imported together; one that cannot be imported has no items.
    """
    by_package: defaultdict[str, list[Place]] = defaultdict(list)
    for place in places:
        by_package[place[0].module.package].append(place)
    good: set[tuple[int, int]] = set()
    for group in by_package.values():
        left = group
        for number, seed in enumerate(_HASH_SEEDS):
            # Whether a stub fails is asked once, whether the function passes with each seed.
            found = _run(left, seed, STUBS if number == 0 else ())
            left = [place for place in left if (id(place[0]), place[1]) in found]
        good |= {(id(function), first) for function, first in left}
    verdicts: dict[str, dict[str, list[int]]] = {}
    for function, first in places:
        counts = (id(function), first) in good
        lines = verdicts.setdefault(_file(function.module), {})
        lines.setdefault(str(function.line), []).append(first if counts else -first)
    return Verdicts(verdicts)


def _run(places: Sequence[Place], seed: str, stubs: Iterable[str]) -> set[tuple[int, int]]:
    cuts: dict[int, list[dict[str, Any]]] = {}
    functions: dict[int, FunctionText] = {}
    for function, first in places:
        functions[id(function)] = function
        tried = [function.with_stub(first, stub) for stub in stubs]
        cuts.setdefault(id(function), []).append({"first": first, "stubs": tried})
    modules: dict[str, dict[str, Any]] = {}
    for number, function in functions.items():
        module = function.module
        entry = modules.setdefault(
            module.key, {"name": module.name, "path": str(module.path), "functions": []}
        )
        text = module.text[module.upto(function.line) : module.upto(function.last + 1)]
        entry["functions"].append(
            {
                "id": number,
                "line": function.line,
                "name": function.node.name,
                "reference": function.header() + text,
                "examples": function.examples,
                "cuts": cuts[number],
            }
        )
    with tempfile.TemporaryDirectory() as folder:
        job, results = Path(folder, "job.json"), Path(folder, "results.jsonl")
        task = {
            "modules": list(modules.values()),
            "seconds": _SECONDS,
            # The packages that were found here have to be found there.
            "search": [os.path.abspath(each) for each in sys.path],
        }
        job.write_text(json.dumps(task), encoding="utf-8")
        script = Path(str(files("ebmlm.data.tasks").joinpath("judge.py")))
        work = Path(folder, "work")
        work.mkdir()
        subprocess.run(
            # -P: a file beside the script must not be found as a module.
            [sys.executable, "-P", str(script), str(job), str(results)],
            cwd=work,
            env={**os.environ, "PYTHONHASHSEED": seed, "MPLBACKEND": "agg"},
            check=False,
        )
        lines = results.read_text(encoding="utf-8").splitlines() if results.is_file() else []
    return {(each["id"], first) for each in map(json.loads, lines) for first in each["good"]}


def _file(module: Module) -> str:
    digest = hashlib.sha256(module.text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{module.package} {_version(module.package)} {module.relative} {digest}"


@cache
def _version(package: str) -> str:
    return package_version(package)


def _read(path: Path) -> Verdicts:
    try:
        return Verdicts(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        # Nothing kept yet, or not by us: it is made again.
        return Verdicts({})


def _write(path: Path, verdicts: Verdicts) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part-{uuid4().hex}")
    beside.write_text(json.dumps(verdicts.files), encoding="utf-8")
    os.replace(beside, path)
