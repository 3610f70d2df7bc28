"""Memory settings for the process of the command line."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# From malloc.h of glibc, which documents them with mallopt(3).
TRIM_THRESHOLD = -1
MMAP_THRESHOLD = -3
KEEP_BYTES = 2**30


def keep_freed_memory() -> bool:
    """Keep freed memory instead of returning it to Linux after every operation; return True if that was possible.

    The arrays of a network on a CPU are freed and allocated again dozens of times per step. Each time the kernel would
    fill them with zeros page by page, which takes up to a third of a step (scripts/benchmarks/step_time.py).
    Used only in the processes of the command line, because a library must not change the allocator of its host. Does
    nothing if the C library is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is None:
        return False
    return bool(set_option(MMAP_THRESHOLD, KEEP_BYTES) and set_option(TRIM_THRESHOLD, KEEP_BYTES))


@contextmanager
def memory_within_reach() -> Iterator[None]:
    """Limit the host memory of a block to what is free at its start, less a tenth.

    Linux overcommits memory and later kills the process without a message. With a limit, the allocation of the network
    fails instead, and the run ends with an error message and its last checkpoint.
    Not used with CUDA, which reserves terabytes of addresses.
    """
    import torch

    from orbmm.benchmark.machine import limit_memory

    if sys.platform != "linux" or torch.cuda.is_available():
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    limit_memory()
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
