"""Doors asked in a process of their own: readers in C may end it, wait for ever in it, or want all memory."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import select
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

from fuzz.doors import DOORS, LONGEST_S, Outcome, Read, ask

MOST_BYTES = 4 << 30


class Child:
    """A process that answers one question after the other; another one takes its place when it dies."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, door: str, path: Path) -> Outcome:
        """The outcome of a door for a file. Raises AssertionError with the traceback, the signal or the time."""
        process = self._start()
        process.stdin.write(f"{json.dumps([door, str(path)])}\n".encode())
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], LONGEST_S + 5)
        line = process.stdout.readline() if ready else b""
        if not line:
            self.stop(wait=bool(ready))
            raise AssertionError(f"the process ended with {process.returncode}" if ready else "no answer in time")
        answer = json.loads(line)
        if "fault" in answer:
            raise AssertionError(answer["fault"])
        return Outcome(answer["read"] and Read(**answer["read"]), answer["sentence"])

    def ask_content(self, door: str, content: bytes, name: str) -> Outcome:
        """The outcome of a door for a file of this name with this content."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(content)
            return self.ask(door, path)

    def stop(self, *, wait: bool = False) -> None:
        """End the process if there is one, or wait for its own end."""
        if self._process is not None:
            if not wait:
                self._process.kill()
            self._process.communicate()
            self._process = None

    def _start(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            paths = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])
            self._process = subprocess.Popen(
                [sys.executable, "-m", "fuzz.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": paths},
            )
            self._process.stdout.readline()  # it has imported what it needs
        return self._process


def answer(door: str, path: str) -> dict[str, object]:
    """The outcome as JSON takes it, or the traceback of a fault."""
    try:
        return dataclasses.asdict(ask(DOORS[door], Path(path)))
    except Exception:  # noqa: BLE001 - whatever it is, it is told
        return {"fault": traceback.format_exc()}


def main() -> None:
    """Answer each line of standard input, with standard output kept from readers that print."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    answers.write("ready\n")
    answers.flush()
    for line in sys.stdin:
        answers.write(f"{json.dumps(answer(*json.loads(line)))}\n")
        answers.flush()


if __name__ == "__main__":
    main()
