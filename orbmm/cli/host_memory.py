"""Memory settings for the process of the command line."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from orbmm.errors import OutOfMemory

# From malloc.h of glibc, which documents them with mallopt(3).
TRIM_THRESHOLD = -1
MMAP_THRESHOLD = -3
KEEP_BYTES = 2**30

LEAST_BYTES = 350_000_000
"""Free memory to load NumPy, SciPy and mdtraj, which need 280 MB of addresses on one thread."""


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


def require_free_memory() -> None:
    """Raise OutOfMemory if less memory is free than numerical libraries need to load.

    Some of them wait for ever, or end the process, instead of reporting it.
    """
    from orbmm.model.inference.free_memory import read_free_host_bytes

    free = read_free_host_bytes()
    if free < LEAST_BYTES:
        raise OutOfMemory(
            f"{free / 1e6:.0f} MB of memory are free, but orbmm needs {LEAST_BYTES / 1e6:.0f} MB to start; "
            "raise the limit of the job (--mem, `ulimit -v`)"
        )


@contextmanager
def memory_within_reach() -> Iterator[None]:
    """Limit the host memory of a block to what is free at its start, less a tenth.

    Linux overcommits memory and later kills the process without a message. With a limit, an allocation fails instead,
    and the command ends with an error message; a run has its last checkpoint.
    """
    if sys.platform != "linux":
        yield
        return
    import resource

    from orbmm.model.inference.free_memory import limit_to_free_memory

    before = resource.getrlimit(resource.RLIMIT_DATA)
    limit_to_free_memory()
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


@contextmanager
def memory_of_a_run_within_reach() -> Iterator[None]:
    """Limit the host memory of a run, but not beside CUDA, which reserves terabytes of addresses."""
    import torch

    with nullcontext() if torch.cuda.is_available() else memory_within_reach():
        yield
