"""Claim, find and lock a run folder: only one process writes to it at a time."""

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
from orbmm.files import is_partial, open_regular
from orbmm.plain_text import quote_command
from orbmm.run_files.layout import LOCK_NAME, RunFolder

_BEFORE_THE_RECORD = {LOCK_NAME, "input", "settings.toml"}


@contextmanager
def claim_folder(path: Path) -> Iterator[RunFolder]:
    """Make an empty run folder and lock it inside the block.

    A folder of a run that was killed before it wrote its record is accepted, because nothing was computed in it.
    Raises RunError if the folder holds anything else, is in use by another process, or cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        _require_free(path)
    except OSError as error:
        raise RunError(f"run folder {path} cannot be made ({error.strerror}); choose another --output") from error
    with lock_folder(path):
        _require_free(path)  # another process may have used it before the lock
        yield RunFolder(path)


def _require_free(path: Path) -> None:
    found = {entry.name for entry in path.iterdir()}
    barely_begun = LOCK_NAME in found and all(name in _BEFORE_THE_RECORD or is_partial(name) for name in found)
    if found and not barely_begun:
        raise RunError(
            f"run folder {path} is not empty; continue its run with `{quote_command('orbmm', 'resume', path)}` "
            "or choose another --output"
        )


def find_run(path: Path) -> RunFolder:
    """Return the run folder at a path. Raises RunError if it holds no run."""
    folder = RunFolder(path.resolve())
    if not folder.settings.is_file() or not folder.record.is_file():
        raise RunError(f"{path} is not a run folder: it has no settings.toml or no run.json")
    return folder


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock the run folder against other processes inside the block. The file run.lock stays; the lock does not.

    Raises RunError, with the process that holds the lock, if there is one; UnsafeFile if run.lock is a link or not a
    regular file.
    """
    with open_regular(folder / LOCK_NAME, "a+b") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(
                f"run folder {folder} is being written by {_read_owner(stream)}; wait until it has finished, "
                "or stop it with SIGTERM (it writes a checkpoint first) and then resume"
            ) from error
        _write_owner(stream)
        yield


def _write_owner(stream: BinaryIO) -> None:
    stream.truncate(0)
    stream.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
    stream.flush()


def _read_owner(stream: BinaryIO) -> str:
    """Return the process that holds the lock; "another process" if it has not written its number yet."""
    stream.seek(0)
    try:
        owner = json.loads(stream.read(1000))
        return f"process {owner['pid']} on {owner['host']}"
    except (ValueError, KeyError, TypeError, RecursionError):
        return "another process"
