"""The handling of freed memory in the command line's own process."""

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
    """Reuse freed memory instead of giving it back to Linux after every operation; returns whether that was possible.

    A network's arrays on a CPU are freed and asked for again dozens of times a step, and each time the kernel would fill
    them with zeros page by page, which takes up to a third of a step (scripts/benchmarks/step_time.py). Only for processes that
    are ours: a library must leave its host's allocator alone. Does nothing where the C library is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is None:
        return False
    return bool(set_option(MMAP_THRESHOLD, KEEP_BYTES) and set_option(TRIM_THRESHOLD, KEEP_BYTES))


@contextmanager
def memory_within_reach() -> Iterator[None]:
    """Let a block take no more host memory than is free when it begins, less a tenth.

    Linux grants what it does not have and then kills the process without a word; under a limit the network's own request
    fails, which ends a run with a sentence and its last checkpoint. Not where CUDA is: it reserves addresses by the terabyte.
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
