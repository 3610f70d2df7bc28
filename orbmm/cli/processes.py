"""Run one command in several processes of this machine that end together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from orbmm.errors import TrainingError

_SECONDS_TO_END = 15.0
"""When one process has ended, the others notice it at their next exchange; after this time they are ended."""


def run_processes(words: Sequence[str], count: int) -> int:
    """Run `orbmm words` in processes that find each other; return the exit code of the first one.

    Process 0 prints. Raises TrainingError if it could not say why the processes ended.
    """
    with _start(words, count) as processes:
        try:
            while all(process.poll() is None for process in processes):
                time.sleep(0.1)
        except KeyboardInterrupt:  # which the terminal sends to all of them
            _wait(processes, _SECONDS_TO_END)
            raise
        ended = next(index for index, process in enumerate(processes) if process.poll() is not None)
        failed = [index for index, process in enumerate(processes) if process.poll()]
        _wait(processes, _SECONDS_TO_END if failed else None)
    code = processes[0].returncode
    if code < 0:
        first = (failed or [ended])[0]
        raise TrainingError(
            f"process {first} of {count} {_describe_end(processes[first].returncode)}, and so the others were ended: "
            "go on from the last save with --resume"
        )
    return code


@contextmanager
def _start(words: Sequence[str], count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start the processes, and end those that are left at the end of the block."""
    threads = max(1, (os.cpu_count() or 1) // count)
    shared = {"OMP_NUM_THREADS": str(threads), **os.environ, "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_find_free_port())}
    command = [sys.executable, "-m", "orbmm", *words]
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for rank in range(count):
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            processes.append(
                subprocess.Popen(command, env=shared | own, stdout=None if rank == 0 else subprocess.DEVNULL)
            )
        yield processes
    finally:
        signal.signal(signal.SIGTERM, before)
        for end in (subprocess.Popen.terminate, subprocess.Popen.kill):
            for process in processes:
                if process.poll() is None:
                    end(process)
            _wait(processes, 5.0)


def _wait(processes: Sequence[subprocess.Popen[bytes]], seconds: float | None) -> None:
    """Wait until all have ended, at most some seconds; None: as long as none fails."""
    begin = time.monotonic()
    while any(process.poll() is None for process in processes):
        if seconds is None and any(process.poll() for process in processes):
            seconds, begin = _SECONDS_TO_END, time.monotonic()
        if seconds is not None and time.monotonic() - begin > seconds:
            return
        time.sleep(0.1)


def _find_free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _describe_end(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
