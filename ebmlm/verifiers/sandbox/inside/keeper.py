"""The keeper: a trusted process that starts runs, watches over them and kills them."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
import time
from typing import Any

from ebmlm.verifiers.sandbox.inside import candidate, checker, doctests, frames, probe
from ebmlm.verifiers.sandbox.inside.stages import Job, start_run
from ebmlm.verifiers.sandbox.inside.tree import ProcessTree
from ebmlm.verifiers.sandbox.inside.walls import Setup, Walls

__all__ = ["main"]

_JOBS: dict[str, Job] = {
    "candidate": candidate.run,
    "checker": checker.run,
    "doctests": doctests.run,
    "probe": probe.run,
}
_LARGEST_REQUEST = 1 << 20
_LOOK_EVERY = 0.05
_SWEEP_SECONDS = 5.0


def main(descriptor: int, walls: Walls) -> None:
    """Serve runs, one at a time, until nobody is at the other end of the control socket.

    Args:
        descriptor: of the control socket.
        walls: what confines this keeper and its runs.
    """
    control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=descriptor)
    told = frames.receive(control, _LARGEST_REQUEST)
    if told is None:
        return
    setup = Setup(**told)
    tree = ProcessTree()
    if sys.platform == "linux":
        from ebmlm.verifiers.sandbox.inside import kernel

        kernel.subreaper()
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        # Where memory runs out all the same, a sandbox goes first.
        score.write("1000")
    try:
        in_force = walls.enter(setup)
        sys.path[:] = setup.path
        for name in setup.preload:
            importlib.import_module(name)
    except (OSError, ImportError) as error:
        frames.send(control, {"refused": str(error)})
        return
    frames.send(control, {"in_force": in_force})
    gc.collect()
    gc.freeze()
    while True:
        try:
            begun, descriptors, _, _ = socket.recv_fds(control, 1 << 16, 1)
        except OSError:
            return
        if not begun:
            return
        request = frames.receive(control, _LARGEST_REQUEST, begun)
        if request is None:
            return
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=descriptors[0])
        _serve(control, channel, request, walls, tree)


def _serve(
    control: socket.socket,
    channel: socket.socket,
    request: dict[str, Any],
    walls: Walls,
    tree: ProcessTree,
) -> None:
    limits = request["limits"]
    end = time.monotonic() + limits["wall_seconds"]
    job, hidden = _JOBS[request["job"]], request["hidden"]
    first, lifeline, alive = start_run(walls, job, channel, limits, hidden)
    channel.close()
    reason, stop = "stopped", control.fileno()
    while first:
        left = end - time.monotonic()
        if left <= 0:
            reason = "wall"
            break
        ready, _, _ = select.select([stop, alive], [], [], min(left, _LOOK_EVERY))
        if alive in ready:
            reason = "exit"
            break
        if stop in ready:
            break
        if tree.resident(first) > limits["memory_bytes"]:
            reason = "memory"
            break
    status = _kill(first) if first else 1
    os.close(lifeline)
    os.close(alive)
    _sweep(tree)
    walls.clear()
    if not first:
        reason = "failed"
    # The other end says "stop" after every run, whether or not that ended it.
    if frames.receive(control, _LARGEST_REQUEST) is None:
        os._exit(0)
    frames.send(control, {"reason": reason, "status": status})


def _kill(first: int) -> int:
    """Kill a run's first process; of a process namespace, this returns when all are dead."""
    for kill in (os.kill, os.killpg):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(first, signal.SIGKILL)
    try:
        _, status = os.waitpid(first, 0)
    except ChildProcessError:
        # Only Linux gives orphans to their next ancestor that asks for them.
        return -signal.SIGKILL
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else status >> 8


def _sweep(tree: ProcessTree) -> None:
    """Kill and reap what a run left; without a process namespace its orphans come to the keeper."""
    end = time.monotonic() + _SWEEP_SECONDS
    while time.monotonic() < end:
        left = tree.below(os.getpid())
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            if not left:
                return
        time.sleep(0.001)
