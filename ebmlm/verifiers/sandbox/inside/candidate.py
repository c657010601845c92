"""The job of holding a model's function: it answers calls, and sees no test."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from ebmlm.verifiers.sandbox.inside import frames
from ebmlm.verifiers.sandbox.inside.captured import Captured
from ebmlm.verifiers.sandbox.inside.completed import forget_ourselves
from ebmlm.verifiers.sandbox.inside.values import decode, encode

__all__ = ["run"]

_LARGEST_JOB = 1 << 24
_NAME = "solution"


def run(channel: socket.socket, limits: dict[str, Any]) -> None:
    """Define the function, then call it as asked.

    Receives ``source`` and ``entry_point``, answers ``ready``; then receives calls (``nonce``,
    ``arguments``, ``named``), and answers each with its nonce and ``value`` or ``raised``, and with
    ``arguments`` where the call has changed them.
    """
    load = frames.receive(channel, _LARGEST_JOB)
    if load is None:
        return
    sys.stdout, sys.stderr = (Captured(limits["output_bytes"]) for _ in range(2))
    forget_ourselves()
    module = ModuleType(_NAME)
    sys.modules[_NAME] = module
    try:
        exec(compile(load["source"], f"<{_NAME}>", "exec", dont_inherit=True), vars(module))
        function = vars(module)[load["entry_point"]]
    except BaseException as error:
        frames.send(channel, {"ready": False, "error": type(error).__name__})
        return
    frames.send(channel, {"ready": True})
    while (call := frames.receive(channel, _LARGEST_JOB)) is not None:
        frames.send(channel, {"nonce": call["nonce"], **_answer(function, call)})


def _answer(function: Callable[..., Any], call: dict[str, Any]) -> dict[str, Any]:
    arguments, named = decode(call["arguments"]), decode(call["named"])
    try:
        answer = {"value": encode(function(*arguments, **named))}
        after = encode([arguments, named])
    except BaseException as error:
        return {"raised": type(error).__name__, "message": _message(error)}
    if after != {"list": [call["arguments"], call["named"]]}:
        answer["after"] = after
    return answer


def _message(error: BaseException) -> str:
    try:
        return str(error)[:1000]
    except BaseException:
        return ""
