"""Memory settings for the process of the command line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from orbmm.errors import OutOfMemory

LEAST_BYTES = 350_000_000
"""Free memory to load NumPy, SciPy and mdtraj, which need 280 MB of addresses on one thread."""


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
