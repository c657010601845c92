"""Kernel calls that Python 3.11 has no function for."""

from __future__ import annotations

import ctypes
import os

__all__ = [
    "NEW_IPC",
    "NEW_MOUNT",
    "NEW_NET",
    "NEW_PID",
    "NEW_USER",
    "NEW_UTS",
    "bind",
    "forget_capabilities",
    "forget_mount",
    "keep_capabilities",
    "make_private",
    "mount_memory",
    "no_new_privileges",
    "pivot_root",
    "prctl",
    "read_only",
    "subreaper",
    "syscall",
    "unshare",
]

NEW_MOUNT = 0x0002_0000
NEW_UTS = 0x0400_0000
NEW_IPC = 0x0800_0000
NEW_USER = 0x1000_0000
NEW_PID = 0x2000_0000
NEW_NET = 0x4000_0000

_NOSUID, _NODEV, _BIND, _REC, _PRIVATE = 2, 4, 0x1000, 0x4000, 0x40000
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV = 1, 2, 4
_AT_FDCWD, _AT_RECURSIVE, _MOUNT_SETATTR = -100, 0x8000, 442
_DETACH = 2
_CAPABILITY_VERSION = 0x2008_0522
_KEEP_CAPABILITIES = 8
_SUBREAPER, _NO_NEW_PRIVILEGES, _DROP_BOUNDING = 36, 38, 24

_libc = ctypes.CDLL(None, use_errno=True)


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("user_namespace", ctypes.c_uint64),
    )


def unshare(flags: int) -> None:
    """Leave the namespaces that ``flags`` name for new ones."""
    _checked(_libc.unshare(ctypes.c_int(flags)), "unshare")


def prctl(option: int, value: int = 0, pointer: ctypes.c_void_p | None = None) -> None:
    """Set a property of this process."""
    last = pointer or ctypes.c_void_p(0)
    zero = ctypes.c_ulong(0)
    _checked(_libc.prctl(option, ctypes.c_ulong(value), last, zero, zero), f"prctl {option}")


def syscall(number: int, *arguments: object) -> int:
    """Call a system call by number; integers are passed as long."""
    given = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *given), f"system call {number}")


def make_private() -> None:
    """Keep what is mounted from here on to this mount namespace."""
    _mount(None, "/", None, _REC | _PRIVATE, None)


def mount_memory(target: str, options: str) -> None:
    """Mount a tmpfs."""
    _mount("tmpfs", target, "tmpfs", _NOSUID | _NODEV, options)


def bind(source: str, target: str) -> None:
    """Show ``source`` at ``target`` as well, with what is mounted below it."""
    _mount(source, target, None, _BIND | _REC, None)


def read_only(target: str, devices: bool = False) -> None:
    """Refuse writes and set-user-id bits below ``target``, and devices unless they are wanted."""
    flags = _ATTR_RDONLY | _ATTR_NOSUID | (0 if devices else _ATTR_NODEV)
    attributes = _MountAttributes(set=flags)
    size = ctypes.sizeof(attributes)
    path = ctypes.c_char_p(os.fsencode(target))
    pointer = ctypes.byref(attributes)
    syscall(_MOUNT_SETATTR, _AT_FDCWD, path, _AT_RECURSIVE, pointer, size)


def pivot_root(root: str, old: str) -> None:
    """Make ``root`` the root folder, and put the old one at ``old`` in it."""
    _checked(_libc.pivot_root(os.fsencode(root), os.fsencode(old)), "pivot_root")


def forget_mount(target: str) -> None:
    """Take a mount out of sight; it goes when nobody holds a descriptor of it."""
    _checked(_libc.umount2(os.fsencode(target), _DETACH), f"umount {target}")


def subreaper() -> None:
    """Become the parent of all orphans among the descendants."""
    prctl(_SUBREAPER, 1)


def no_new_privileges() -> None:
    """Make set-user-id programs powerless, for this process and all it starts."""
    prctl(_NO_NEW_PRIVILEGES, 1)


def keep_capabilities() -> None:
    """Let the capabilities survive a change of user, until the next program."""
    prctl(_KEEP_CAPABILITIES, 1)


def forget_capabilities(but: int | None = None) -> None:
    """Give up every capability, for good, but for one by its number."""
    for capability in range(64):
        # The kernel knows about forty; it refuses the numbers after its last.
        _libc.prctl(_DROP_BOUNDING, ctypes.c_ulong(capability), 0, 0, 0)
    bits = 0 if but is None else 1 << but
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    # Effective, permitted, inheritable; then the same of the capabilities from the 32nd on.
    _checked(_libc.capset(header, (ctypes.c_uint32 * 6)(bits, bits, 0, 0, 0, 0)), "capset")


def _mount(
    source: str | None, target: str, kind: str | None, flags: int, options: str | None
) -> None:
    encoded = [None if part is None else os.fsencode(part) for part in (source, target, kind)]
    data = None if options is None else options.encode()
    result = _libc.mount(*encoded, ctypes.c_ulong(flags), data)
    _checked(result, f"mount {source or ''} at {target}")


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
