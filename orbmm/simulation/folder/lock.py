"""Lock a run folder, so that only one process writes to it at a time.

Two means are used. The lock of the operating system ends with its process, but some file systems of clusters have none
or keep it for each host alone. So run.lock also names host and process, with a time that is renewed while it runs.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from orbmm.errors import RunError
from orbmm.files import open_regular
from orbmm.run_files.layout import LOCK_NAME

_LOG = logging.getLogger(__name__)

SECONDS_BETWEEN_BEATS = 10.0
SECONDS_WATCHED = 35.0
"""How long a new process waits for another one to renew its time: three times, and some delay of a network."""

_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)
_LONGEST_NOTE = 1000  # bytes


@dataclass(frozen=True)
class _Owner:
    """The process that run.lock names. time: when it was renewed; "" in a file of an older version"""

    pid: int
    host: str
    time: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


@contextmanager
def lock_folder(folder: Path, use_lock: bool = True) -> Iterator[None]:
    """Lock the run folder against other processes inside the block. The file run.lock stays; the lock does not.

    use_lock: False for a file system without locks; then only the times in run.lock show another process
    Raises RunError, with the process that writes to the folder, if there is one, or if the folder cannot be locked;
    UnsafeFile if run.lock is a link or not a regular file.
    """
    path = folder / LOCK_NAME
    open_regular(path, "ab").close()
    with open_regular(path, "r+b") as stream:
        if use_lock:
            _take_lock(stream, folder)
        owner = _read_owner(path)
        if owner is not None and not _has_ended(owner, use_lock):
            _watch(owner, folder)
        with _renew_note(stream):
            yield


def find_writer(folder: Path) -> str | None:
    """Return the process that writes to a run folder now, as far as run.lock shows it; None if there is none.

    The lock itself is not touched, so that a run that begins meanwhile finds it free. A process counts until its time
    in run.lock is older than SECONDS_WATCHED: by then its number may belong to another program. Raises OSError as
    `open` does.
    """
    owner = _read_owner(folder / LOCK_NAME)
    if owner is None or not owner.time:
        return None
    if owner.host == socket.gethostname() and _has_ended(owner, is_locked=False):
        return None
    try:
        age = datetime.now(UTC) - datetime.fromisoformat(owner.time)
    except (ValueError, TypeError):
        return None
    return str(owner) if age.total_seconds() < SECONDS_WATCHED else None


def _take_lock(stream: BinaryIO, folder: Path) -> None:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise RunError(_describe_writer(folder, _read_owner(folder / LOCK_NAME))) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise RunError(
            f"run folder {folder} cannot be locked, because its file system has no locks ({error.strerror}); "
            "make sure that no other process writes to it and add --no-lock, or use a folder on another disk"
        ) from error


def _describe_writer(folder: Path, owner: _Owner | None) -> str:
    return (
        f"run folder {folder} is being written by {owner or 'another process'}; wait until it has finished, "
        "or stop it with SIGTERM (it writes a checkpoint first) and then resume"
    )


def _has_ended(owner: _Owner, is_locked: bool) -> bool:
    """Return whether the process is known to have ended. is_locked: by this process, for the operating system"""
    if not owner.time:
        return True
    if owner.host != socket.gethostname():
        return False
    if is_locked:  # within one host every file system keeps the lock
        return True
    try:
        os.kill(owner.pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return owner.pid == os.getpid()


def _watch(owner: _Owner, folder: Path) -> None:
    """Wait for a sign of the process in run.lock. Raises RunError if there is one."""
    _LOG.info("%s names %s, which did not end in order; waiting %.0f s for a sign of it", folder / LOCK_NAME, owner,
              SECONDS_WATCHED)  # fmt: skip
    deadline = time.monotonic() + SECONDS_WATCHED
    while time.monotonic() < deadline:
        time.sleep(min(1.0, SECONDS_WATCHED / 10.0))
        found = _read_owner(folder / LOCK_NAME)
        if found is not None and found != owner:
            raise RunError(_describe_writer(folder, found))


@contextmanager
def _renew_note(stream: BinaryIO) -> Iterator[None]:
    """Write host, process and time into run.lock, renew the time inside the block, and empty the file at its end."""
    host = socket.gethostname()
    _write_note(stream, host)
    ended = threading.Event()
    thread = threading.Thread(target=_keep_renewing, args=(stream, host, ended), name=LOCK_NAME, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with contextlib.suppress(OSError):  # the error inside the block matters more
            os.ftruncate(stream.fileno(), 0)


def _keep_renewing(stream: BinaryIO, host: str, ended: threading.Event) -> None:
    while not ended.wait(SECONDS_BETWEEN_BEATS):
        try:
            _write_note(stream, host)
        except OSError as error:  # such as a full disk, which the run meets by itself
            _LOG.debug("%s cannot be renewed: %s", LOCK_NAME, error)


def _write_note(stream: BinaryIO, host: str) -> None:
    """Replace the note in one write of always the same length, so that a reader never finds half of it."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    note = json.dumps({"pid": os.getpid(), "host": host, "time": now}).encode()
    os.pwrite(stream.fileno(), note, 0)
    os.ftruncate(stream.fileno(), len(note))  # what was there may have been longer
    os.fsync(stream.fileno())


def _read_owner(path: Path) -> _Owner | None:
    """Return the process that run.lock names; None if it names none. The file is opened anew, which NFS needs."""
    try:
        with open_regular(path, "rb") as stream:
            note = json.loads(stream.read(_LONGEST_NOTE))
        pid, host, renewed = note["pid"], note["host"], note.get("time", "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, FileNotFoundError):
        return None
    valid = type(pid) is int and pid > 0 and isinstance(host, str) and isinstance(renewed, str)
    return _Owner(pid, host, renewed) if valid else None
