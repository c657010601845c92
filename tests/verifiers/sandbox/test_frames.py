"""Messages, from those that cannot be trusted too."""

from __future__ import annotations

import socket
import struct

import pytest

from ebmlm.verifiers.sandbox.inside.frames import BadFrame, pack, receive, send


@pytest.fixture
def ends():
    here, there = socket.socketpair()
    with here, there:
        here.settimeout(5)
        yield here, there


def test_messages_arrive_one_by_one(ends):
    here, there = ends
    for message in ({"a": "é\ud800"}, {}):
        send(there, message)
    there.close()
    assert receive(here, 100) == {"a": "é\ud800"}
    assert receive(here, 100) == {}
    assert receive(here, 100) is None


@pytest.mark.parametrize("cut", range(13))
def test_a_beginning_can_have_been_read_already(ends, cut):
    here, there = ends
    packed = pack({"a": "b"})
    there.sendall(packed[cut:])
    there.close()
    assert receive(here, 100, packed[:cut]) == {"a": "b"}


@pytest.mark.parametrize(
    "body", [b"[1]", b"{", b"\xff", b"[" * 100_000, b"1" * 5000, b'{"a": ' + b"1" * 5000 + b"}"]
)
def test_nonsense_is_refused(ends, body):
    here, there = ends
    there.sendall(struct.pack("!I", len(body)) + body)
    with pytest.raises(BadFrame):
        receive(here, 1 << 20)


def test_long_messages_are_not_read(ends):
    here, there = ends
    there.sendall(struct.pack("!I", 101))
    with pytest.raises(BadFrame, match="101 bytes"):
        receive(here, 100)


def test_half_a_message_is_none(ends):
    here, there = ends
    there.sendall(pack({"a": 1})[:-1])
    there.close()
    assert receive(here, 100) is None
