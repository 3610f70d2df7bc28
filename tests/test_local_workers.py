"""Workers of this machine compute as a process without Dask would."""

import os

import pytest
from distributed import Client

from orbmm.local_workers import TRIM_VARIABLE, configure_dask, find_trim_of_dask, start_local_cluster


def read_threshold() -> str | None:
    """Return what a new worker has in its environment."""
    with start_local_cluster(1) as cluster, Client(cluster) as client:
        (found,) = client.run(os.environ.get, TRIM_VARIABLE).values()
    return found


@pytest.mark.parametrize("chosen", [None, "123456"])
def test_a_worker_keeps_freed_memory_unless_the_user_has_chosen(
    chosen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TRIM_VARIABLE, raising=False)
    if chosen is not None:
        monkeypatch.setenv(TRIM_VARIABLE, chosen)
    with configure_dask():
        assert read_threshold() == chosen


def test_dask_alone_sets_the_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TRIM_VARIABLE, raising=False)
    assert read_threshold() == find_trim_of_dask() == "65536"


def test_other_keys_are_set_for_the_block_alone() -> None:
    import dask

    key = "distributed.scheduler.allowed-failures"
    before = dask.config.get(key)
    with configure_dask({key: before + 1}):
        assert dask.config.get(key) == before + 1
    assert dask.config.get(key) == before
