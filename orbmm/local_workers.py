"""Dask workers as processes of this machine, for ensembles and for the analysis of long trajectories."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import LocalCluster

TRIM_VARIABLE = "MALLOC_TRIM_THRESHOLD_"
"""Variable of glibc that Dask sets for its workers: the freed memory [bytes] that a process may keep."""

_NANNY = "distributed.nanny.pre-spawn-environ"
_OURS = {
    "distributed.deploy.lost-worker-timeout": "60s",  # a busy machine needs more than Dask's 15 s to start a process
    # Dask watches itself many times a second, also while a worker computes; that takes time from the work.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.admin.tick.interval": "1s",
    "distributed.scheduler.active-memory-manager.start": False,
    # Dask lets workers return freed memory to Linux at once. A network would ask for it again in every step.
    f"{_NANNY}.{TRIM_VARIABLE}": None,
}
"""Values in place of Dask's own; what the user has chosen is left."""


@contextmanager
def configure_dask(more: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Let Dask watch itself seldom and leave the memory of its workers alone inside the block; it says nothing of them.

    more: other keys of Dask's configuration, which are set whatever the user has chosen
    What Dask writes into the environment of this process for its workers is taken back at the end.
    """
    import dask
    import distributed  # noqa: F401  # reads its defaults, which are replaced here

    for name in ("distributed", "tornado.application"):  # their words on lost workers are said by the caller
        logging.getLogger(name).setLevel(logging.CRITICAL)
    trim, ours = read_trim_default(), {key: value for key, value in _OURS.items() if not _is_chosen(key)}
    with _restore_environment(_list_worker_variables()), dask.config.set({**ours, **(more or {})}):
        if trim is not None and os.environ.get(TRIM_VARIABLE) == trim:  # left by a cluster that was opened before
            del os.environ[TRIM_VARIABLE]
        yield


@contextmanager
def _restore_environment(names: Iterable[str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def start_local_cluster(workers: int) -> LocalCluster:
    """Return a cluster with so many processes, each of one thread, that end with its `with` block.

    It listens on 127.0.0.1 only. Dask does not limit the memory of a worker.
    """
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        memory_limit=0,
        dashboard_address="127.0.0.1:0",
        silence_logs=logging.CRITICAL,
    )


def read_trim_default() -> str | None:
    """Return the value that Dask gives to TRIM_VARIABLE in its workers unasked.

    None if it gives none, or if the user's own configuration of Dask has one.
    """
    value = _list_worker_variables().get(TRIM_VARIABLE)
    return None if value is None or _is_chosen(f"{_NANNY}.{TRIM_VARIABLE}") else str(value)


def _is_chosen(key: str) -> bool:
    """Return whether the user has set a key of Dask's configuration: in YAML, by a variable, or in this process."""
    import dask

    if dask.config.get(key, None) != dask.config.get(key, None, config=_merge_defaults()):
        return True
    files = dask.config.merge(*dask.config.collect_yaml(dask.config.paths))  # one may hold the value that is Dask's own
    return dask.config.get(key, None, config=files) is not None


def _list_worker_variables() -> dict[str, Any]:
    """Return the environment variables that Dask sets for its workers, by the defaults of the installed version."""
    import dask

    found: dict[str, Any] = dask.config.get(_NANNY, {}, config=_merge_defaults())
    return found


def _merge_defaults() -> dict[str, Any]:
    """Return Dask's configuration without that of the user."""
    import dask
    import distributed  # noqa: F401  # brings its defaults

    merged: dict[str, Any] = dask.config.merge(*dask.config.defaults)
    return merged
