"""Landlock: which folders a process may read and write, without any privilege or namespace."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable

from ebmlm.verifiers.sandbox.inside import kernel

__all__ = ["allow_only", "landlock_version"]

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
_EXECUTE, _WRITE, _READ, _READ_FOLDER = 1, 2, 4, 8
_TRUNCATE = 1 << 14
_OF_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE | 1 << 15
# Bits of file access that each version knows, from the first.
_BITS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_NETWORK, _NETWORK_FROM = 3, 4
_SCOPES, _SCOPES_FROM = 3, 6


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def landlock_version() -> int:
    """Return the version that the kernel has, 0 for none."""
    try:
        return kernel.syscall(_CREATE, None, 0, 1)
    except OSError:
        return 0


def allow_only(readable: Iterable[str], writable: Iterable[str]) -> None:
    """Refuse all other files, TCP and signals to others, for good; needs ``no_new_privileges``."""
    version = landlock_version()
    everything = (1 << _BITS[min(version, max(_BITS))]) - 1
    ruleset = _Ruleset(
        everything,
        _NETWORK if version >= _NETWORK_FROM else 0,
        _SCOPES if version >= _SCOPES_FROM else 0,
    )
    size = 8 if version < _NETWORK_FROM else 16 if version < _SCOPES_FROM else 24
    rules = kernel.syscall(_CREATE, ctypes.byref(ruleset), size, 0)
    for path in readable:
        _allow(rules, path, _EXECUTE | _READ | _READ_FOLDER)
    for path in writable:
        _allow(rules, path, everything & ~_EXECUTE)
    kernel.syscall(_RESTRICT, rules, 0)
    os.close(rules)


def _allow(rules: int, path: str, access: int) -> None:
    folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    if not os.path.isdir(path):
        access &= _OF_FILES
    kernel.syscall(_ADD_RULE, rules, 1, ctypes.byref(_Beneath(access, folder)), 0)
    os.close(folder)
