"""The job of running a module's examples: it reports what they print, and judges nothing."""

from __future__ import annotations
import __future__

import socket
import sys
import traceback
from typing import Any

from ebmlm.verifiers.sandbox.inside import frames
from ebmlm.verifiers.sandbox.inside.captured import Captured
from ebmlm.verifiers.sandbox.inside.completed import forget_ourselves, import_completed

__all__ = ["run"]

_LARGEST_JOB = 1 << 24


def run(channel: socket.socket, limits: dict[str, Any]) -> None:
    """Import the completed module, then run its examples one after the other.

    Receives ``module``, ``path`` and ``source``, answers ``ready``; receives ``examples`` and a
    ``nonce``, and answers with that nonce and, for each, ``printed`` and ``raised``. The module has
    run before the nonce is known, so what it sends by itself is no answer.
    """
    load = frames.receive(channel, _LARGEST_JOB)
    if load is None:
        return
    output = Captured(limits["output_bytes"])
    sys.stdout, sys.stderr = output, Captured(limits["output_bytes"])
    forget_ourselves()
    try:
        module = import_completed(load["module"], load["path"], load["source"])
    except BaseException as error:
        frames.send(channel, {"ready": False, "error": _told(error)})
        return
    frames.send(channel, {"ready": True})
    task = frames.receive(channel, _LARGEST_JOB)
    if task is None:
        return
    names = dict(vars(module))
    results = [_result(source, names, output) for source in task["examples"]]
    frames.send(channel, {"nonce": task["nonce"], "results": results})


def _result(source: str, names: dict[str, Any], output: Captured) -> dict[str, str | None]:
    output.take()
    sys.stdout, sys.displayhook = output, sys.__displayhook__
    raised = None
    try:
        code = compile(source, "<example>", "single", _future_flags(names), dont_inherit=True)
        exec(code, names)
    except BaseException as error:
        raised = _told(error)
    return {"printed": output.take(), "raised": raised}


def _future_flags(names: dict[str, Any]) -> int:
    flags = 0
    for name in __future__.all_feature_names:
        feature = getattr(__future__, name)
        if name in names and names[name] is feature:
            flags |= feature.compiler_flag
    return flags


def _told(error: BaseException) -> str:
    return traceback.format_exception_only(type(error), error)[-1]
