"""``python -m ebmlm.data.tasks.index``: run the installed packages' doctests, and keep who passes.

What it writes is shipped, so that nobody else has to wait. It holds no text of any package, only
paths, digests and line numbers. To be run where the versions in constraints.txt are installed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ebmlm.data.tasks.defaults import PACKAGES
from ebmlm.data.tasks.function_text import FunctionText
from ebmlm.data.tasks.functions_with_doctests import FunctionsWithDoctests
from ebmlm.data.tasks.missing import LastLines, LastShare, Missing, WholeBody
from ebmlm.data.tasks.verified import SHIPPED, Verdicts, judge

__all__ = ["main"]

_FORMS: tuple[Missing, ...] = (
    WholeBody(),
    LastShare(),
    LastLines(1),
    LastLines(2),
    LastLines(3),
    LastLines(4),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge what the index does not know yet, and write it; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m ebmlm.data.tasks.index", description=__doc__)
    parser.add_argument("packages", nargs="*", default=PACKAGES, help="by their import names")
    parser.add_argument("--anew", action="store_true", help="forget what is known of them")
    given = parser.parse_args(arguments)
    path = Path(__file__).with_name(SHIPPED)
    known = _read(path)
    if given.anew:
        kept = {f: v for f, v in known.files.items() if f.split()[0] not in given.packages}
        known = Verdicts(kept)
    for package in given.packages:
        functions: dict[tuple[str, int], FunctionText] = {}
        places: dict[tuple[str, int, int], tuple[FunctionText, int]] = {}
        for form in _FORMS:
            for function, first in FunctionsWithDoctests([package], form).places()[0]:
                name = (function.module.key, function.line)
                # One object a function, so that all its cuts are tried together.
                places[(*name, first)] = (functions.setdefault(name, function), first)
        unknown = [place for place in places.values() if known.of(*place) is None]
        known = known.also(judge(unknown))
        good = sum(bool(known.of(*place)) for place in places.values())
        print(f"{package}: {good} of {len(places)} count, {len(unknown)} were run", flush=True)
        _write(path, known)
    return 0


def _read(path: Path) -> Verdicts:
    if not path.is_file():
        return Verdicts({})
    return Verdicts(json.loads(gzip.decompress(path.read_bytes())))


def _write(path: Path, verdicts: Verdicts) -> None:
    text = json.dumps(verdicts.files, sort_keys=True, separators=(",", ":"))
    beside = path.with_name(f".{path.name}.part")
    # No time of writing inside, so that the same verdicts are the same file.
    beside.write_bytes(gzip.compress(text.encode("utf-8"), 9, mtime=0))
    os.replace(beside, path)


if __name__ == "__main__":
    sys.exit(main())
