"""How much memory a call takes above what is there before it."""

from __future__ import annotations

import ctypes
import gc
import platform
import threading
from collections.abc import Callable
from pathlib import Path

import torch

__all__ = ["peak_bytes"]

_MAPPED_FROM = 2**20
_EVERY_SECONDS = 0.002


def peak_bytes(function: Callable[[], object], device: torch.device) -> int:
    """Most bytes held during a call, above those before it.

    On a GPU, of torch's allocator. Elsewhere the resident set of the process, watched from a
    thread, with freed memory given back at once, so that earlier calls leave nothing to be used
    again; 0 where the system does not tell. Giving memory back makes what runs afterwards slower.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        function()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    if not _STATM.exists():
        return 0
    _give_back_freed_memory()
    with _Watch() as watch:
        function()
    return watch.largest - watch.before


_STATM = Path("/proc/self/statm")


def _resident() -> int:
    import resource

    return int(_STATM.read_text().split()[1]) * resource.getpagesize()


def _give_back_freed_memory() -> None:
    """Have the C library map large blocks and give them back when they are freed."""
    if platform.libc_ver()[0] != "glibc":
        return
    trim_threshold, mapped_from, most_mapped = -1, -3, -4
    library = ctypes.CDLL(None)
    library.mallopt(most_mapped, 2**16)
    library.mallopt(mapped_from, _MAPPED_FROM)
    library.mallopt(trim_threshold, _MAPPED_FROM)
    library.malloc_trim(0)


class _Watch:
    def __enter__(self) -> _Watch:
        self.before = self.largest = _resident()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def _look(self) -> None:
        while not self._stop.wait(_EVERY_SECONDS):
            self.largest = max(self.largest, _resident())

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()
        self.largest = max(self.largest, _resident())
