"""A run folder has one writer; the lock goes with its process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orbmm.errors import RunError
from orbmm.run_files.layout import LOCK_NAME
from orbmm.settings import Settings
from orbmm.simulation.folder.folder import claim_folder
from orbmm.simulation.folder.lock import lock_folder
from orbmm.simulation.force_source import ForceSource
from orbmm.simulation.progress import Progress
from orbmm.simulation.run import resume_run, start_run

Forces = Callable[..., ForceSource]

HOLDER = """
import sys
from pathlib import Path
from orbmm.simulation.folder.lock import lock_folder
with lock_folder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def _hold(folder: Path) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", HOLDER, str(folder)]
    holder = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    return holder


def test_a_second_process_is_refused_by_the_first_ones_pid_until_that_is_killed(tmp_path: Path) -> None:
    holder = _hold(tmp_path)
    try:
        refusal = pytest.raises(RunError, match=rf"is being written by process {holder.pid} on .*SIGTERM")
        with refusal, lock_folder(tmp_path):
            pytest.fail("two processes hold one folder")
    finally:
        holder.kill()
        holder.communicate()
    with lock_folder(tmp_path):
        assert f'"pid": {os.getpid()}' in (tmp_path / LOCK_NAME).read_text()


def test_a_run_that_goes_on_cannot_be_resumed_or_started_a_second_time(
    settings: Settings, classical_forces: Forces
) -> None:
    refusals = []

    def intrude(progress: Progress) -> None:
        assert settings.run.output is not None
        for attempt in (
            lambda: resume_run(settings.run.output, forces=classical_forces()),
            lambda: start_run(settings, forces=classical_forces()),
        ):
            with pytest.raises(RunError) as caught:
                attempt()
            refusals.append(str(caught.value))

    start_run(settings, intrude, classical_forces())
    assert f"is being written by process {os.getpid()}" in refusals[0]
    assert "is not empty" in refusals[1]


def test_what_a_killed_beginning_left_is_taken_over_and_nothing_else_is(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    with claim_folder(begun) as folder:
        folder.settings.write_text("")
    with claim_folder(begun):
        pass
    folder.record.write_text("{}")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "settings.toml").write_text("")  # without our lock beside it: somebody else's
    for path in (begun, foreign):
        with pytest.raises(RunError, match="is not empty"), claim_folder(path):
            pytest.fail("a folder with data in it was taken over")
    assert not (foreign / LOCK_NAME).exists()


@pytest.mark.parametrize("note", ["[" * 1000, "3", "{}", ""])
def test_whatever_the_lock_holds_a_second_writer_is_refused_in_one_sentence(note: str, tmp_path: Path) -> None:
    with lock_folder(tmp_path):
        (tmp_path / LOCK_NAME).write_text(note)
        refusal = pytest.raises(RunError, match="is being written by another process")
        with refusal, lock_folder(tmp_path):
            pytest.fail("two hold one folder")
