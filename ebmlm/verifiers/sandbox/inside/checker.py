"""The job of running a test: the tested function is in another sandbox, and called from here."""

from __future__ import annotations

import builtins
import secrets
import socket
import sys
from collections.abc import Callable
from typing import Any

from ebmlm.verifiers.sandbox.inside import frames
from ebmlm.verifiers.sandbox.inside.captured import Captured
from ebmlm.verifiers.sandbox.inside.values import decode, encode

__all__ = ["CandidateError", "run"]

_LARGEST_JOB = 1 << 24


class CandidateError(Exception):
    """The tested function raised what is no builtin exception, or gave what cannot be carried."""


class _Gone(BaseException):
    """The tested function's process is no more; no test may catch this."""


def run(channel: socket.socket, limits: dict[str, Any]) -> None:
    """Run ``check(candidate)`` of a test, and report whether it came to its end.

    Receives ``prompt``, ``test`` and ``entry_point``. Sends calls, and at last ``passed``, or
    ``invalid`` where the test itself cannot be run. No code of a model's ever runs here.
    """
    load = frames.receive(channel, _LARGEST_JOB)
    if load is None:
        return
    sys.stdout, sys.stderr = (Captured(limits["output_bytes"]) for _ in range(2))
    line = _Line(channel, 2 * limits["output_bytes"])
    candidate = _candidate(line, load["entry_point"])
    names: dict[str, Any] = {"__name__": "test"}
    _define_helpers(load["prompt"], names)
    names[load["entry_point"]] = candidate
    try:
        code = compile(load["test"], "<test>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        frames.send(channel, {"invalid": f"it does not compile ({error})"})
        return
    try:
        exec(code, names)
        if "check" not in names:
            frames.send(channel, {"invalid": "it defines no check(candidate)"})
            return
        names["check"](candidate)
    except BaseException as error:
        frames.send(channel, {"passed": False, "error": f"{type(error).__name__}: {error}"[:1000]})
        return
    # A test may catch everything, the end of the tested function's process included.
    frames.send(channel, {"passed": not line.gone, "error": "the function's process ended"})


def _define_helpers(prompt: str, names: dict[str, Any]) -> None:
    """Define what a prompt has before its last function, which tests may use."""
    indent = prompt.rsplit("\n", 1)[-1]
    for ending in ("", "\n    pass\n", "pass\n", f"\n{indent}    pass\n"):
        try:
            code = compile(prompt + ending, "<prompt>", "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            continue
        exec(code, names)
        return


class _Line:
    """Calls over the channel, until an answer is missing; from then on there is none."""

    def __init__(self, channel: socket.socket, limit: int) -> None:
        self._channel = channel
        self._limit = limit
        self.gone = False

    def call(self, arguments: Any, named: Any) -> dict[str, Any]:
        if self.gone:
            raise _Gone
        nonce = secrets.token_hex(16)
        call = {"nonce": nonce, "arguments": arguments, "named": named}
        frames.send(self._channel, {"call": call})
        # Until the right answer is there, any way out of here means that there is none.
        self.gone = True
        answer = frames.receive(self._channel, self._limit)
        if answer is None or answer.get("nonce") != nonce:
            raise _Gone
        self.gone = False
        return answer


def _candidate(line: _Line, name: str) -> Callable[..., Any]:
    def candidate(*arguments: Any, **named: Any) -> Any:
        answer = line.call(encode(list(arguments)), encode(named))
        if "raised" in answer:
            raise _error(answer)
        value = decode(answer.get("value"))
        if "after" in answer:
            changed, changed_named = decode(answer["after"])
            _carry_back([*arguments, *named.values()], [*changed, *changed_named.values()])
        return value

    candidate.__name__ = candidate.__qualname__ = name
    return candidate


def _error(answer: dict[str, Any]) -> Exception:
    name, message = str(answer["raised"]), str(answer.get("message", ""))
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        try:
            return kind(message)
        except TypeError:
            pass
    return CandidateError(f"{name}: {message}")


def _carry_back(originals: list[Any], changed: list[Any]) -> None:
    """Change the caller's own objects as the call changed its copies."""
    for original, after in zip(originals, changed, strict=True):
        if isinstance(original, list) and isinstance(after, list):
            original[:] = after
        elif isinstance(original, (dict, set)) and isinstance(after, type(original)):
            original.clear()
            original.update(after)
