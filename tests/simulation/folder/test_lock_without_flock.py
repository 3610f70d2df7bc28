"""Where the file system has no locks, or keeps them for each host alone, run.lock shows another process."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orbmm.errors import RunError
from orbmm.run_files.layout import LOCK_NAME
from orbmm.settings import Settings
from orbmm.simulation.folder import lock
from orbmm.simulation.folder.changes import ResumeRequest
from orbmm.simulation.folder.lock import lock_folder
from orbmm.simulation.force_source import ForceSource
from orbmm.simulation.run import resume_run, start_run

Forces = Callable[..., ForceSource]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "SECONDS_BETWEEN_BEATS", 0.02)
    monkeypatch.setattr(lock, "SECONDS_WATCHED", 10.0)  # ends as soon as there is a sign


def _pretend(monkeypatch: pytest.MonkeyPatch, number: int | None) -> None:
    """Replace flock: by one that fails with this error or, for None, by one that excludes nobody."""

    def flock(stream: object, operation: int) -> None:
        if number is not None:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)


@contextmanager
def _on_another_host(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setattr(socket, "gethostname", lambda: "node-7")
        yield


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named_and_runs_without_a_lock(
    number: int, settings: Settings, classical_forces: Forces, monkeypatch: pytest.MonkeyPatch
) -> None:
    _pretend(monkeypatch, number)
    with pytest.raises(RunError) as refusal:
        start_run(settings, forces=classical_forces())
    assert f"its file system has no locks ({os.strerror(number)})" in str(refusal.value)
    assert "add --no-lock" in str(refusal.value) and refusal.value.exit_code == 2
    outcome = start_run(settings, forces=classical_forces(), use_lock=False)
    assert outcome.finished
    with pytest.raises(RunError, match="add --no-lock"):
        resume_run(outcome.folder, forces=classical_forces())
    request = ResumeRequest(extend_ps=0.01, use_lock=False)
    assert resume_run(outcome.folder, forces=classical_forces(), request=request).step == 80


@pytest.mark.parametrize("number, use_lock", [(None, True), (errno.ENOSYS, False)])
def test_a_process_on_another_host_is_noticed_by_its_time(
    number: int | None, use_lock: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _pretend(monkeypatch, number)
    with lock_folder(tmp_path, use_lock), _on_another_host(monkeypatch):
        host = json.loads((tmp_path / LOCK_NAME).read_text())["host"]
        refusal = pytest.raises(RunError, match=f"is being written by process {os.getpid()} on {host}")
        with refusal, lock_folder(tmp_path, use_lock):
            pytest.fail("two processes hold one folder")


def test_a_process_that_renews_its_time_no_more_is_waited_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lock, "SECONDS_WATCHED", 0.3)
    caplog.set_level("INFO")
    note = json.dumps({"pid": 1, "host": "node-7", "time": "2026-01-01T00:00:00.000+00:00"})
    (tmp_path / LOCK_NAME).write_text(note)
    started = time.monotonic()
    with lock_folder(tmp_path):
        assert time.monotonic() - started >= 0.3
    assert (tmp_path / LOCK_NAME).read_text() == "", "a process that ends in order leaves no note"
    assert "process 1 on node-7, which did not end in order" in caplog.text
    caplog.clear()
    with lock_folder(tmp_path):
        assert "did not end in order" not in caplog.text


@pytest.mark.parametrize(
    "note", [{"pid": 1, "host": "node-7"}, {"pid": 2**22 + 1, "host": socket.gethostname(), "time": "x"}]
)
def test_a_process_that_has_ended_for_certain_is_not_waited_for(
    note: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of an older version, which renewed no time, and one of this host, whose number no process can have."""
    _pretend(monkeypatch, errno.ENOSYS)
    monkeypatch.setattr(lock, "SECONDS_WATCHED", 60.0)
    (tmp_path / LOCK_NAME).write_text(json.dumps(note))
    started = time.monotonic()
    with lock_folder(tmp_path, use_lock=False):
        assert time.monotonic() - started < 10.0


def test_an_error_of_flock_that_has_another_reason_is_not_called_a_lack_of_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _pretend(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match="Input/output"), lock_folder(tmp_path):
        pytest.fail("locked")
