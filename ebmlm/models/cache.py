"""The cache folder, and folders in it that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from ebmlm.errors import UserError
from ebmlm.models.notice import notify

__all__ = ["cache_folder", "publish"]


def cache_folder() -> Path:
    """Where ebmlm keeps what it can fetch or compute again; it need not exist.

    ``$EBMLM_CACHE`` if set, else ``ebmlm`` in ``$XDG_CACHE_HOME``, else in ``~/.cache``.

    Raises:
        UserError: if neither variable is set and there is no home folder.
    """
    chosen = os.environ.get("EBMLM_CACHE")
    try:
        if chosen:
            return Path(chosen).expanduser().absolute()
        base = os.environ.get("XDG_CACHE_HOME", "")
        # The XDG specification has relative paths ignored.
        root = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    except RuntimeError as error:
        raise UserError(f"no cache folder: {error}; set EBMLM_CACHE to a folder") from error
    return root / "ebmlm"


def publish(target: Path, build: Callable[[Path], None], *, needed_bytes: int = 0) -> Path:
    """Make the folder ``target`` with ``build``, unless it is there already.

    ``build`` fills an empty folder beside ``target``, which is renamed when it returns and removed
    when it raises: nobody ever sees half a folder. Of several threads or processes that publish
    the same folder at once, one builds and the others wait for it.

    Args:
        target: the folder to make; its parents are made too.
        build: fills the folder it is given.
        needed_bytes: free space to insist on before building.

    Returns:
        ``target``.

    Raises:
        UserError: if the disk is full or the folder cannot be written, naming the folder.
    """
    try:
        if target.is_dir():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target):
            if not target.is_dir():
                _remove_leftovers(target)
                _require_space(target.parent, needed_bytes)
                _build_and_rename(target, build)
    except OSError as error:
        if error.errno is None:  # not the operating system's, so not about the disk
            raise
        raise UserError(
            f"cannot write {target}: {os.strerror(error.errno)}; free some space there, or set"
            " EBMLM_CACHE to a folder that can be written"
        ) from error
    return target


def _build_and_rename(target: Path, build: Callable[[Path], None]) -> None:
    beside = target.parent / f"{_prefix(target)}{uuid4().hex}"
    beside.mkdir()
    try:
        build(beside)
        os.replace(beside, target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _prefix(target: Path) -> str:
    return f".{target.name}.part-"


def _remove_leftovers(target: Path) -> None:
    """Remove what a killed process left. We hold the lock, so nobody is building there."""
    for path in target.parent.iterdir():
        if path.name.startswith(_prefix(target)):
            shutil.rmtree(path, ignore_errors=True)


def _require_space(folder: Path, needed_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise UserError(
            f"{folder} has {free / 1e6:,.0f} MB free and {needed_bytes / 1e6:,.0f} MB are needed;"
            " free some space there, or set EBMLM_CACHE to a folder on a larger disk"
        )


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    lock = FileLock(target.parent / f".{target.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        notify(f"waiting for another process that is making {target}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
