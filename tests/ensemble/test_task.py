"""One attempt at a replica: a process of its own, whose end is no end of the worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orbmm.ensemble import task
from orbmm.ensemble.layout import ReplicaFolder
from orbmm.ensemble.task import (
    Ending,
    Order,
    _run_child,
    choose_command,
    choose_environment,
    end_runs,
    find_sentence,
    perform_replica,
)
from orbmm.local_workers import TRIM_VARIABLE

WATCHER = """
import time
from orbmm.cli.replica import end_with_worker
end_with_worker()
print("watching", flush=True)
time.sleep(100)
"""


@pytest.mark.parametrize(
    ("code", "said", "sentence"),
    [
        (0, "warning: something", ""),
        (3, "warning: x\nerror: the disk is full", "the disk is full"),
        (-9, "", "the process was ended by SIGKILL"),
        (-11, "Segmentation", "the process was ended by SIGSEGV"),
        (1, "Traceback\nValueError: no", "exit code 1: ValueError: no"),
    ],
)
def test_the_end_of_a_process_has_a_sentence(code: int, said: str, sentence: str) -> None:
    assert find_sentence(code, said) == sentence


def test_a_process_that_crashes_ends_no_worker() -> None:
    crash = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    ending = _run_child(Order(Path("x"), "s", 1), [sys.executable, "-c", crash], dict(os.environ))
    assert (ending.exit_code, ending.sentence) == (-signal.SIGSEGV, "the process was ended by SIGSEGV")


def test_a_process_ends_in_order_when_its_worker_is_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", WATCHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"watching\n"
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.2)  # as long as the other end of the pipe is open
    child.stdin.close()
    assert child.wait(20) == -signal.SIGTERM
    child.stdout.close()


def test_each_local_worker_has_a_gpu_and_its_threads() -> None:
    order = Order(Path("x"), "s", 3, ("0", "GPU-7f"))
    given = [choose_environment(order, number)["CUDA_VISIBLE_DEVICES"] for number in range(3)]
    assert given == ["0", "GPU-7f", "0"]
    assert choose_environment(order, 0)["OMP_NUM_THREADS"] == "3"
    assert choose_environment(Order(Path("x"), "s", 1, ()), 1)["CUDA_VISIBLE_DEVICES"] == ""


def test_the_choice_of_a_gpu_is_left_as_it_is_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    assert choose_environment(Order(Path("x"), "s", 1), 0)["CUDA_VISIBLE_DEVICES"] == "5"


def test_what_dask_has_set_for_memory_is_taken_away_and_a_choice_of_the_user_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("distributed")
    order = Order(Path("x"), "s", 1)
    monkeypatch.setenv(TRIM_VARIABLE, "65536")  # by Dask, in a worker that someone else has started
    assert TRIM_VARIABLE not in choose_environment(order, 0)
    monkeypatch.setenv(TRIM_VARIABLE, "123456")
    assert choose_environment(order, 0)[TRIM_VARIABLE] == "123456"


def test_a_run_that_has_not_begun_is_started(tmp_path: Path) -> None:
    command = choose_command(ReplicaFolder(tmp_path))
    assert command[1:6] == ["-m", "orbmm.cli.replica", "run", str(tmp_path / "system.toml"), "--output"]


def test_nothing_begins_after_its_session_was_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task, "_ENDED", set())
    monkeypatch.setattr(task, "_run_child", lambda *rest: Ending(0, "it ran", "here"))
    assert perform_replica(Order(tmp_path, "a", 1)).sentence == "it ran"
    end_runs("a")
    assert perform_replica(Order(tmp_path, "a", 1)).sentence == ""
    assert perform_replica(Order(tmp_path, "b", 1)).sentence == "it ran"


def test_a_folder_that_the_worker_cannot_see_is_an_ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*rest: object, **options: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    ending = perform_replica(Order(tmp_path, "s", 1))
    assert ending.exit_code == 1 and "Input/output error" in ending.sentence
