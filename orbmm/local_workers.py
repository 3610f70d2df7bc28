"""Dask workers as processes of this machine, for ensembles and for the analysis of long trajectories."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import LocalCluster

TRIM_VARIABLE = "MALLOC_TRIM_THRESHOLD_"
"""Variable of glibc that Dask sets for its workers: the freed memory [bytes] that a process may keep."""

_CONFIGURATION = {
    "distributed.deploy.lost-worker-timeout": "60s",  # a busy machine needs more than Dask's 15 s to start a process
    # Dask watches itself many times a second, also while a worker computes; that takes time from the work.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.admin.tick.interval": "1s",
    "distributed.scheduler.active-memory-manager.start": False,
    # Dask lets workers return freed memory to Linux at once. A network would ask for it again in every step.
    f"distributed.nanny.pre-spawn-environ.{TRIM_VARIABLE}": None,
}


@contextmanager
def configure_dask(more: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Let Dask watch itself seldom, say nothing and leave the memory of its workers alone inside the block.

    more: other keys of Dask's configuration. What it would say of lost workers is said by those who open them.
    """
    import dask
    import distributed  # noqa: F401  # reads its defaults, which are replaced here

    for name in ("distributed", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with dask.config.set({**_CONFIGURATION, **(more or {})}):
        yield


def start_local_cluster(workers: int) -> LocalCluster:
    """Return a cluster with so many processes, each of one thread, that end with its `with` block.

    It listens on 127.0.0.1 only. Memory is not limited: who uses a worker knows what fits.
    """
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        memory_limit=0,
        dashboard_address="127.0.0.1:0",
        silence_logs=logging.CRITICAL,
    )


def find_trim_of_dask() -> str | None:
    """Return the value that Dask gives to TRIM_VARIABLE in the workers of this process's configuration."""
    import dask

    value = dask.config.get("distributed.nanny.pre-spawn-environ", {}).get(TRIM_VARIABLE)
    return None if value is None else str(value)
