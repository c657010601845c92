"""Runs functions' own examples with the function cut short: a program of its own.

Started by ``ebmlm.data.tasks.verified`` without the rest of this package, so it needs the standard
library only. It reads one JSON object from a file: ``search``, where to import from, ``seconds``
that a run may take, and ``modules``, each with its dotted ``name``, its
file's ``path`` and its ``functions``; and writes one line of JSON for each function. The modules
are imported once. Each run is a fork in which the function's code object is replaced, which every
alias, decorator and table that holds the function then runs.
"""

from __future__ import annotations

import contextlib
import doctest
import gc
import importlib
import io
import json
import os
import signal
import sys
import time
import traceback
from types import CodeType, FunctionType
from typing import Any

__all__ = ["main"]

_PASSED = 77


def main(job_path: str, results_path: str) -> None:
    """Judge every function of a job."""
    with open(job_path, encoding="utf-8") as file:
        job = json.load(file)
    sys.path[:] = job["search"]
    # What the examples print or read there is nobody's business.
    quiet = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(quiet, descriptor)
    imported = {each["name"]: _imported(each["name"]) for each in job["modules"]}
    functions = _functions()
    gc.collect()
    gc.freeze()
    with open(results_path, "w", encoding="utf-8") as results:
        for module in job["modules"]:
            names = imported[module["name"]]
            for function in module["functions"]:
                place = (os.path.realpath(module["path"]), function["line"])
                live = functions.get(place, []) if names is not None else []
                kept = _judged(function, live, names or {}, job["seconds"])
                good = [cut["first"] for cut in kept]
                results.write(json.dumps({"id": function["id"], "good": good}) + "\n")
                results.flush()


def _imported(name: str) -> dict[str, Any] | None:
    try:
        return vars(importlib.import_module(name))
    except BaseException:
        return None


def _functions() -> dict[tuple[str, int], list[FunctionType]]:
    """Every function there is, by the file and line it was defined in."""
    found: dict[tuple[str, int], list[FunctionType]] = {}
    for each in gc.get_objects():
        if type(each) is FunctionType:
            code = each.__code__
            place = (os.path.realpath(code.co_filename), code.co_firstlineno)
            found.setdefault(place, []).append(each)
    return found


def _judged(
    function: dict[str, Any], live: list[FunctionType], names: dict[str, Any], seconds: float
) -> list[dict[str, Any]]:
    """The cuts at which every stub fails, none if the function itself does not pass."""
    live = [each for each in live if each.__code__.co_name == function["name"]]
    if not live:
        return []

    def passes(source: str) -> bool:
        return _passes(source, function, live, names, seconds)

    begun = time.monotonic()
    if not passes(function["reference"]):
        return []
    # Without what ends it a loop may run for ever; nobody waits the whole time for each of those.
    seconds = min(seconds, 1 + 5 * (time.monotonic() - begun))
    return [cut for cut in function["cuts"] if not any(map(passes, cut["stubs"]))]


def _passes(
    source: str,
    function: dict[str, Any],
    live: list[FunctionType],
    names: dict[str, Any],
    seconds: float,
) -> bool:
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            # Nobody catches it: the run ends there.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, seconds)
            flags = live[0].__code__.co_flags & _FUTURE
            compiled = compile(source, "<function>", "exec", flags, dont_inherit=True)
            code = _code(compiled, function["name"])
            for each in live:
                each.__code__ = code.replace(co_freevars=each.__code__.co_freevars)
            if _examples_pass(function["examples"], dict(names)):
                os._exit(_PASSED)
        os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == _PASSED


# Flags of `from __future__` statements, which the code of a function keeps.
_FUTURE = 0x01FE0000


def _code(compiled: CodeType, name: str) -> CodeType:
    """The code of the one function in a text, which may stand in classes."""
    for constant in compiled.co_consts:
        if isinstance(constant, CodeType):
            return constant if constant.co_name == name else _code(constant, name)
    raise LookupError(name)


def _examples_pass(examples: list[dict[str, Any]], names: dict[str, Any]) -> bool:
    checker = doctest.OutputChecker()
    for example in examples:
        options = sum(
            doctest.OPTIONFLAGS_BY_NAME[name] for name, on in example["options"].items() if on
        )
        output = io.StringIO()
        sys.stdout, sys.displayhook = output, sys.__displayhook__
        try:
            exec(compile(example["source"], "<example>", "single", dont_inherit=True), names)
        except BaseException as error:
            told = traceback.format_exception_only(type(error), error)[-1]
            expected = example["exc_msg"]
            if expected is None or not _same_error(checker, expected, told, options):
                return False
        else:
            if example["exc_msg"] is not None or not checker.check_output(
                example["want"], output.getvalue(), options
            ):
                return False
    return True


def _same_error(checker: doctest.OutputChecker, expected: str, told: str, options: int) -> bool:
    if options & doctest.IGNORE_EXCEPTION_DETAIL:
        expected, told = (_kind(each) for each in (expected, told))
    return checker.check_output(expected, told, options)


def _kind(message: str) -> str:
    return message.split(":")[0].strip().rpartition(".")[2] + "\n"


if __name__ == "__main__":
    main(*sys.argv[1:])
