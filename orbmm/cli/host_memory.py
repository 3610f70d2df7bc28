"""How the command line's own process treats memory that it has freed."""

from __future__ import annotations

import ctypes
import sys

# From malloc.h of glibc, which documents them with mallopt(3).
TRIM_THRESHOLD = -1
MMAP_THRESHOLD = -3
KEEP_BYTES = 2**30


def keep_freed_memory() -> bool:
    """Reuse freed memory instead of giving it back to Linux after every operation; returns whether that was possible.

    A network's arrays on a CPU are freed and asked for again dozens of times a step, and each time the kernel would fill
    them with zeros page by page, which takes up to a third of a step (benchmarks/step_time.py). Only for processes that
    are ours: a library must leave its host's allocator alone. Does nothing where the C library is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is None:
        return False
    return bool(set_option(MMAP_THRESHOLD, KEEP_BYTES) and set_option(TRIM_THRESHOLD, KEEP_BYTES))
