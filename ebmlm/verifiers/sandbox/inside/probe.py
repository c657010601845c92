"""The job of looking around: what can a run really not do here?"""

from __future__ import annotations

import os
import socket
from typing import Any

from ebmlm.verifiers.sandbox.inside import frames

__all__ = ["run"]


def run(channel: socket.socket, limits: dict[str, Any]) -> None:
    """Try what is forbidden. Receives ``read`` and ``write``, paths; answers what was possible."""
    task = frames.receive(channel, 1 << 16)
    if task is None:
        return
    frames.send(
        channel,
        {
            "user": os.getuid(),
            "reads": _works(lambda: os.close(os.open(task["read"], os.O_RDONLY))),
            "writes": _works(lambda: os.close(os.open(task["write"], os.O_WRONLY))),
            "sockets": _works(lambda: socket.socket().close()),
            "works": _works(lambda: os.close(os.open("own", os.O_CREAT | os.O_WRONLY))),
        },
    )


def _works(attempt: Any) -> bool:
    try:
        attempt()
    except OSError:
        return False
    return True
