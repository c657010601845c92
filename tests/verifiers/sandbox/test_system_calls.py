"""The filter's program, walked through by a slow twin of the kernel."""

from __future__ import annotations

import struct

import pytest

from ebmlm.verifiers.sandbox.inside import system_calls

_ALLOW, _EPERM, _ENOSYS, _KILL = 0x7FFF_0000, 0x0005_0001, 0x0005_0026, 0x8000_0000


def verdict(machine: str, number: int, argument: int = 0, architecture: int | None = None) -> int:
    lines = list(struct.iter_unpack("HBBI", system_calls._code(machine)))
    words = {0: number, 4: architecture or system_calls._AUDIT_NUMBERS[machine], 16: argument}
    place = held = 0
    while True:
        operation, yes, no, value = lines[place]
        place += 1
        if operation == 0x20:
            held = words[value]
        elif operation == 0x06:
            return value
        else:
            true = {0x15: held == value, 0x35: held >= value, 0x45: bool(held & value)}[operation]
            place += yes if true else no


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_only_what_is_listed_is_refused(machine):
    column = system_calls._COLUMN[machine]
    refused = {numbers[column] for numbers in system_calls._REFUSED.values()}
    clone = system_calls._CLONE[column]
    for number in range(600):
        expected = _EPERM if number in refused else _ENOSYS if number == 435 else _ALLOW
        assert verdict(machine, number) == expected
    # A fork and a thread, then a new user namespace.
    assert verdict(machine, clone, 0x11) == verdict(machine, clone, 0x3D0F00) == _ALLOW
    assert verdict(machine, clone, 0x1000_0011) == _EPERM
    assert verdict(machine, 0x4000_0000 + 41) == _EPERM
    assert verdict(machine, 1, architecture=0x4000_0003) == _KILL
