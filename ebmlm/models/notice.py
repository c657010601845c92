"""Lines for the person who waits: on the error stream, so that output can be piped."""

from __future__ import annotations

import sys

__all__ = ["notify"]


def notify(message: str) -> None:
    """Say what is going on while something takes long."""
    print(message, file=sys.stderr, flush=True)
