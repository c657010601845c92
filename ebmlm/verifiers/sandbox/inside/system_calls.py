"""A filter of system calls (seccomp), which refuses sockets and what only attacks need."""

from __future__ import annotations

import ctypes
import platform
import struct

from ebmlm.verifiers.sandbox.inside import kernel

__all__ = ["filter_known", "refuse_system_calls"]

# By name: numbers on x86_64 and on aarch64.
_REFUSED = {
    "socket": (41, 198),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsmount": (432, 432),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # What these make outlives its maker.
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
}
_CLONE, _CLONE3 = (56, 220), 435
_AUDIT_NUMBERS = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
_COLUMN = {"x86_64": 0, "aarch64": 1}
_ANY_NAMESPACE = 0x7E02_0080
_FIRST_X32 = 0x4000_0000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_KILL, _ALLOW, _ERROR = 0x8000_0000, 0x7FFF_0000, 0x0005_0000
_EPERM, _ENOSYS = 1, 38
_SET_SECCOMP, _FILTER = 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def filter_known() -> bool:
    """Whether the numbers of this machine's system calls are known here."""
    return platform.machine() in _COLUMN


def refuse_system_calls() -> None:
    """Refuse them to this process and all it starts, for good; needs ``no_new_privileges``."""
    code = _code(platform.machine())
    program = _Program(len(code) // 8, code)
    pointer = ctypes.cast(ctypes.pointer(program), ctypes.c_void_p)
    kernel.prctl(_SET_SECCOMP, _FILTER, pointer)


def _code(machine: str) -> bytes:
    column = _COLUMN[machine]
    numbers = [number[column] for number in _REFUSED.values()]
    # At the end: allow, refuse, "no such call", kill.
    body: list[tuple[int, int, str, str]] = [(_AT_LEAST, _FIRST_X32, "refuse", "next")]
    body += [(_EQUAL, number, "refuse", "next") for number in numbers]
    # glibc falls back from clone3, whose flags are out of a filter's sight, to clone.
    body += [(_EQUAL, _CLONE3, "missing", "next"), (_EQUAL, _CLONE[column], "next", "allow")]
    lines: list[tuple[int, int, str, str]] = [
        (_LOAD, _ARCHITECTURE_AT, "", ""),
        (_EQUAL, _AUDIT_NUMBERS[machine], "next", "kill"),
        (_LOAD, _NUMBER_AT, "", ""),
        *body,
        (_LOAD, _FIRST_ARGUMENT_AT, "", ""),
        (_ANY_BIT, _ANY_NAMESPACE, "refuse", "allow"),
    ]
    ends = {
        "allow": _ALLOW,
        "refuse": _ERROR | _EPERM,
        "missing": _ERROR | _ENOSYS,
        "kill": _KILL,
    }
    places = {name: len(lines) + index for index, name in enumerate(ends)}
    packed = b""
    for index, (operation, value, yes, no) in enumerate(lines):
        jumps = [places.get(name, index + 1) - index - 1 for name in (yes, no)]
        packed += struct.pack("HBBI", operation, *jumps, value)
    for value in ends.values():
        packed += struct.pack("HBBI", _RETURN, 0, 0, value)
    return packed
