"""One writer per run folder: a lock of the operating system, which dies with its process."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from orbmm.errors import RunError
from orbmm.files import open_regular

LOCK_NAME = "run.lock"


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Keep every other process out of the run folder while entered; the file stays, its lock goes with the process.

    Raises RunError that names the process which writes there now, UnsafeFile where run.lock is a link or no regular file.
    """
    with open_regular(folder / LOCK_NAME, "a+b") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(
                f"run folder {folder} is being written by {_read_owner(stream)}; let it finish, "
                "or end it with SIGTERM (it writes a checkpoint first) and resume then"
            ) from error
        _write_owner(stream)
        yield


def _write_owner(stream: BinaryIO) -> None:
    stream.truncate(0)
    stream.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
    stream.flush()


def _read_owner(stream: BinaryIO) -> str:
    """Who holds the lock; it may be about to write its name."""
    stream.seek(0)
    try:
        owner = json.loads(stream.read(1000))
        return f"process {owner['pid']} on {owner['host']}"
    except (ValueError, KeyError, TypeError, RecursionError):
        return "another process"
