"""Workers of this machine compute as a process without Dask would."""

import os
from collections.abc import Iterator

import pytest
from distributed import Client

from orbmm.local_workers import TRIM_VARIABLE, configure_dask, read_trim_default, start_local_cluster


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:
    """Take back what Dask writes into the environment of this process, which other tests share."""
    before = dict(os.environ)
    os.environ.pop(TRIM_VARIABLE, None)
    yield
    os.environ.clear()
    os.environ.update(before)


def read_threshold() -> str | None:
    """Return what a new worker has in its environment."""
    with start_local_cluster(1) as cluster, Client(cluster) as client:
        (found,) = client.run(os.environ.get, TRIM_VARIABLE).values()
    return found


@pytest.mark.parametrize("chosen", [None, "123456"])
def test_a_worker_keeps_freed_memory_unless_the_user_has_chosen(
    chosen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if chosen is not None:
        monkeypatch.setenv(TRIM_VARIABLE, chosen)
    with configure_dask():
        assert read_threshold() == chosen
    assert os.environ.get(TRIM_VARIABLE) == chosen


def test_dask_alone_sets_the_threshold_and_what_it_leaves_reaches_no_worker_of_ours() -> None:
    assert read_threshold() == read_trim_default() == "65536"
    assert os.environ[TRIM_VARIABLE] == "65536"  # left in the process that opened the cluster, such as a notebook
    with configure_dask():
        assert read_threshold() is None
    assert os.environ[TRIM_VARIABLE] == "65536"


def test_other_keys_are_set_for_the_block_alone() -> None:
    import dask

    key = "distributed.scheduler.allowed-failures"
    before = dask.config.get(key)
    with configure_dask({key: before + 1}):
        assert dask.config.get(key) == before + 1
    assert dask.config.get(key) == before
