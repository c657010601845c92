"""Messages over a socket: a length, then JSON. Both sides use this; neither trusts the other."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

__all__ = ["BadFrame", "pack", "receive", "send"]

_LENGTH = struct.Struct("!I")


class BadFrame(Exception):
    """What came is too long, or no JSON object."""


def pack(message: dict[str, Any]) -> bytes:
    """Return the bytes of a message."""
    body = json.dumps(message).encode("ascii")
    return _LENGTH.pack(len(body)) + body


def send(channel: socket.socket, message: dict[str, Any]) -> None:
    """Write a message.

    Raises:
        OSError: if nobody reads it.
    """
    channel.sendall(pack(message))


def receive(channel: socket.socket, limit: int, begun: bytes = b"") -> dict[str, Any] | None:
    """Return the next message, or None at the end.

    Args:
        channel: a stream socket.
        limit: bytes of a message at most.
        begun: what has been read of it already.

    Raises:
        BadFrame: if it is longer, or no JSON object.
        OSError: if the channel fails, or its time runs out.
    """
    head = _exactly(channel, _LENGTH.size, begun)
    if head is None:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > limit:
        raise BadFrame(f"a message of {length} bytes, over {limit}")
    body = _exactly(channel, length, begun[_LENGTH.size :])
    if body is None:
        return None
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadFrame(f"no JSON: {type(error).__name__}") from None
    if not isinstance(message, dict):
        raise BadFrame("no JSON object")
    return message


def _exactly(channel: socket.socket, length: int, begun: bytes) -> bytes | None:
    parts = bytearray(begun[:length])
    while len(parts) < length:
        piece = channel.recv(min(length - len(parts), 1 << 16))
        if not piece:
            return None
        parts += piece
    return bytes(parts)
