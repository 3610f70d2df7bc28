"""Carry out one replica on a worker: start or resume its run in a process of its own.

A crash of OpenMM or of a driver then ends that process, and no worker. The process ends in order, with a checkpoint,
when its worker is gone: it reads standard input, which then comes to its end (see `orbmm.cli.replica`).
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from orbmm.ensemble.layout import ReplicaFolder
from orbmm.local_workers import TRIM_VARIABLE, read_trim_default
from orbmm.settings import read_settings
from orbmm.simulation.folder.lock import find_writer

CHILD = "orbmm.cli.replica"
_SECONDS_BETWEEN_LOOKS = 0.5
_ENVIRONMENT = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENMM_CPU_THREADS")
_ERROR = "error: "


_CHILDREN: dict[Path, tuple[str, subprocess.Popen[bytes]]] = {}
"""The processes of this worker with the session that they are of, by the folder of the replica."""

_ENDED: set[str] = set()
"""Sessions whose runs were ended; what they still have in Dask's queue is not begun."""


@dataclass(frozen=True)
class Order:
    """One attempt at a replica.

    folder: of the replica; session: a text that only this coordinator has; threads: of the processor; gpus: those of
    local workers, one each by the number of the worker; None to leave the choice as it is
    """

    folder: Path
    session: str
    threads: int
    gpus: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Ending:
    """The end of an attempt. exit_code: of `orbmm run`, negative after a signal; sentence: its error, "" without one"""

    exit_code: int
    sentence: str
    host: str


def perform_replica(order: Order) -> Ending:
    """Run a replica from where it is, and wait for its end; called by Dask on a worker.

    Another process that still writes to the run folder, such as one that a lost worker has left, is waited for.
    """
    folder = ReplicaFolder(order.folder)
    try:
        while order.session not in _ENDED and find_writer(folder.run.path) is not None:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        if order.session in _ENDED:
            return Ending(0, "", socket.gethostname())
        return _run_child(order, choose_command(folder), choose_environment(order, _find_worker_number()))
    except OSError as error:  # the folder cannot be seen from here, or no process can be started
        return Ending(1, f"{folder.path}: {error.strerror or error} on {socket.gethostname()}", socket.gethostname())


def end_runs(session: str) -> None:
    """Let the runs of a session on this worker save a checkpoint and end; called by Dask on each worker."""
    _ENDED.add(session)
    for owner, child in list(_CHILDREN.values()):
        if owner == session:
            child.send_signal(signal.SIGTERM)


def choose_command(folder: ReplicaFolder) -> list[str]:
    """Return the command that starts the run, or resumes it if it was begun, to the length that is planned now."""
    start = [sys.executable, "-m", CHILD]
    log = ["--log", str(folder.log), "--no-analyze"]
    if not folder.is_begun:
        return [*start, "run", str(folder.settings), "--output", str(folder.run.path), *log]
    planned_ps = read_settings(folder.settings).run.length_ps
    longer = planned_ps > read_settings(folder.run.settings).run.length_ps
    return [*start, "resume", str(folder.run.path), *log, *(["--until", f"{planned_ps!r}ps"] if longer else [])]


def choose_environment(order: Order, worker: int) -> dict[str, str]:
    """Return the environment of the run: threads and GPU, without what Dask has set for memory.

    worker: number of the local worker, from 0
    """
    environment = os.environ | dict.fromkeys(_ENVIRONMENT, str(order.threads))
    if environment.get(TRIM_VARIABLE) == read_trim_default():  # of workers that others have started
        environment.pop(TRIM_VARIABLE, None)  # with it, a network asks Linux for its memory again in every step
    if order.gpus is not None:
        environment["CUDA_VISIBLE_DEVICES"] = order.gpus[worker % len(order.gpus)] if order.gpus else ""
    return environment


def _run_child(order: Order, command: list[str], environment: dict[str, str]) -> Ending:
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,  # open as long as this worker lives
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,  # Ctrl-C in the terminal ends the workers; the run then ends in order
    ) as child:
        _CHILDREN[order.folder] = order.session, child
        try:
            said = child.stderr.read().decode("utf-8", errors="replace") if child.stderr is not None else ""
            code = child.wait()
        finally:
            del _CHILDREN[order.folder]
    return Ending(code, find_sentence(code, said), socket.gethostname())


def find_sentence(exit_code: int, said: str) -> str:
    """Return the error of a run, from what it wrote to standard error; "" if it ended in order."""
    if exit_code == 0:
        return ""
    errors = [line.removeprefix(_ERROR) for line in said.splitlines() if line.startswith(_ERROR)]
    if errors:
        return errors[-1]
    if exit_code < 0:
        return f"the process was ended by {_name_signal(-exit_code)}"
    lines = said.strip().splitlines()
    return f"exit code {exit_code}" + (f": {lines[-1]}" if lines else "")


def _name_signal(number: int) -> str:
    return signal.Signals(number).name if number in {one.value for one in signal.Signals} else f"signal {number}"


def _find_worker_number() -> int:
    """Return the number of this worker in a local cluster; 0 for a worker that has another name."""
    from distributed import get_worker

    try:
        name = get_worker().name
    except ValueError:  # not on a worker
        return 0
    return name if isinstance(name, int) else 0
