"""Workers of this machine compute as a process without Dask would."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import dask
import pytest
from distributed import Client

from orbmm.ensemble.task import Order, choose_environment
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


TRIM = "nanny:\n    pre-spawn-environ:\n      MALLOC_TRIM_THRESHOLD_: "
OTHERS = "deploy:\n    lost-worker-timeout: 5m\n  worker:\n    profile:\n      enabled: true"


@pytest.fixture
def write_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Called with lines below `distributed:`: let them be the user's configuration of Dask."""
    monkeypatch.setattr(dask.config, "paths", [str(tmp_path)])

    def write(lines: str) -> None:
        (tmp_path / "dask.yaml").write_text(f"distributed:\n  {lines}\n" if lines else "")
        dask.config.refresh(paths=dask.config.paths)

    yield write
    monkeypatch.undo()
    dask.config.refresh()


@pytest.mark.parametrize(
    ("lines", "left", "expected"),
    [
        ("", None, (None, None, "60s", False)),
        ("", "65536", (None, None, "60s", False)),  # by a cluster that was opened before
        (f"{TRIM}123456", None, (123456, None, "60s", False)),
        (f"{TRIM}65536", "65536", (65536, "65536", "60s", False)),  # Dask's own value, but asked for
        (OTHERS, None, (None, None, "5m", True)),
    ],
)
def test_what_the_user_has_written_for_dask_is_left(
    lines: str,
    left: str | None,
    expected: tuple[object, ...],
    write_configuration: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every other key has the value of orbmm."""
    write_configuration(lines)
    if left is not None:
        monkeypatch.setenv(TRIM_VARIABLE, left)
    with configure_dask():
        get = dask.config.get
        threshold = get(f"distributed.nanny.pre-spawn-environ.{TRIM_VARIABLE}")
        others = get("distributed.deploy.lost-worker-timeout"), get("distributed.worker.profile.enabled")
        assert (threshold, os.environ.get(TRIM_VARIABLE), *others) == expected


@pytest.mark.parametrize(("lines", "expected"), [("", None), (f"{TRIM}65536", "65536")])
def test_a_run_on_a_worker_of_others_has_the_threshold_that_the_user_has_written(
    lines: str, expected: str | None, write_configuration: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it has none, although Dask gives its own value to the worker."""
    write_configuration(lines)
    monkeypatch.setenv("DASK_CONFIG", dask.config.paths[0])
    with start_local_cluster(1) as cluster, Client(cluster) as client:
        order = Order(Path("x"), "s", 1)
        assert client.submit(choose_environment, order, 0).result().get(TRIM_VARIABLE) == expected
        (given,) = client.run(os.environ.get, TRIM_VARIABLE).values()
    assert given == "65536"


def test_other_keys_are_set_for_the_block_alone() -> None:
    key = "distributed.scheduler.allowed-failures"
    before = dask.config.get(key)
    with configure_dask({key: before + 1}):
        assert dask.config.get(key) == before + 1
    assert dask.config.get(key) == before
