"""The most memory a piece of work takes over what the process held before."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _LARGEST = -1, -3, 32 * 2**20
"""glibc's names for when memory that was freed goes back, and the most the second comes to by
itself."""
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak(action: Callable[[], object]) -> str:
    """Run it once, best before other work leaves its gaps. Returns: its peak over what was resident
    before, as text in MB (Linux only)."""
    if not _CLEAR.exists():
        action()
        return "not measured on this system"
    gc.collect()
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_THRESHOLD, 2**20)  # so that what is counted is what is held
    libc.malloc_trim(0)
    _CLEAR.write_text("5")  # the peak so far is forgotten
    before = _kilobytes("VmRSS")
    action()
    libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST)
    libc.mallopt(_M_TRIM_THRESHOLD, 2**30)
    return f"{(_kilobytes('VmHWM') - before) / 1e3:.0f} MB"


def _kilobytes(name: str) -> int:
    return next(int(x.split()[1]) for x in _STATUS.read_text().splitlines() if x.startswith(name))
