"""Make the C library keep the memory that a network on a CPU frees, instead of asking Linux for it again."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

# From malloc.h of glibc, which documents them with mallopt(3).
TRIM_THRESHOLD = -1
MMAP_THRESHOLD = -3
KEEP_BYTES = 2**30
CHOSEN_BY_USERS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")
"""Environment variables of glibc for the same two numbers; GLIBC_TUNABLES may hold them too."""


@cache
def keep_freed_memory() -> bool:
    """Keep freed memory instead of returning it to Linux after every operation; return True if that is in force.

    The arrays of a network on a CPU are freed and allocated again dozens of times per step. Each time the kernel would
    fill them with zeros page by page, which takes up to a third of a step (scripts/benchmarks/step_time.py,
    scripts/benchmarks/doors.py).
    This changes the whole process. So a library calls it at the first evaluation on a CPU, never at import or load, and
    does nothing where the user has set one of the two numbers with a variable of glibc, or where the C library is not
    glibc.
    """
    if not sys.platform.startswith("linux") or _is_chosen_by_user():
        return False
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is None:
        return False
    return bool(set_option(MMAP_THRESHOLD, KEEP_BYTES) and set_option(TRIM_THRESHOLD, KEEP_BYTES))


_HEAP_FIELDS = (
    *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
    *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
)


class _HeapUse(ctypes.Structure):
    """struct mallinfo2 of glibc 2.33 and later, mallinfo(3)."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in _HEAP_FIELDS)


def count_kept_bytes() -> int:
    """Return the freed memory that this process keeps and can use again [bytes]; 0 where the C library does not tell.

    Linux counts it as used.
    """
    read_use = getattr(ctypes.CDLL(None), "mallinfo2", None) if sys.platform.startswith("linux") else None
    if read_use is None:
        return 0
    read_use.restype = _HeapUse
    return int(read_use().fordblks)


def _is_chosen_by_user() -> bool:
    """Return True if the environment of the process sets what glibc returns to Linux."""
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    named = any(name in tunables for name in ("glibc.malloc.trim_threshold", "glibc.malloc.mmap_threshold"))
    return named or any(name in os.environ for name in CHOSEN_BY_USERS)
