"""Read and write single files safely: complete or not at all, not through a link, not more than expected.

orbmm writes every file with this module, or with a library that writes to the partial file of `replace_file`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, Literal

from orbmm.errors import UnsafeFile

Mode = Literal["rb", "r+b", "ab", "a+b", "wb", "xb"]

_FLAGS: dict[Mode, int] = {
    "rb": os.O_RDONLY,
    "r+b": os.O_RDWR,
    "ab": os.O_WRONLY | os.O_APPEND | os.O_CREAT,
    "a+b": os.O_RDWR | os.O_APPEND | os.O_CREAT,
    "wb": os.O_WRONLY | os.O_CREAT,
    "xb": os.O_WRONLY | os.O_CREAT | os.O_EXCL,
}
_PARTIAL = ".partial"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Numbers of the errors of a disk, a quota or a limit of size that is used up."""

DEEPEST_JSON = 64
_TOO_DEEP = "it is nested too deeply"


def open_regular(path: Path, mode: Mode) -> BinaryIO:
    """Open a regular file that has one name only, without following a link or waiting for a pipe.

    mode: rb, r+b, ab, a+b, wb or xb, as for `open`
    Raises UnsafeFile for a link (symbolic or hard), a pipe, a socket or a device; OSError as `open` does.
    """
    try:
        descriptor = os.open(path, _FLAGS[mode] | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise UnsafeFile(path, "is a link") from error
        if error.errno == errno.ENXIO:  # a pipe without a reader, or a socket
            raise UnsafeFile(path, "is not a regular file") from error
        raise
    try:
        _require_own_file(path, os.fstat(descriptor))
        if mode == "wb":
            os.ftruncate(descriptor, 0)
        return os.fdopen(descriptor, mode)
    except BaseException:
        os.close(descriptor)
        raise


def read_file(path: Path, largest: int) -> bytes:
    """Return the content of a file. The path may be a link.

    largest: the most bytes that the file may hold
    Raises UnsafeFile for a larger file or one that is not a regular file; OSError as `open` does.
    """
    with _open_followed(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        content = b""  # a read takes the memory for all that it may bring
        while len(content) <= largest and (piece := stream.read(min(size, largest) + 1)):
            content += piece
    if max(size, len(content)) > largest:  # it may grow while it is read
        raise UnsafeFile(path, f"holds more than {largest:,} bytes, which no such file needs")
    return content


def read_json(path: Path, largest: int) -> Any:
    """Return what a JSON file holds, which may be reached through a link.

    Raises ValueError for anything but JSON, for numbers that are not finite and for what is nested deeper than any of
    our files, UnsafeFile as `read_file` does, OSError as `open` does.
    """
    try:
        found = json.loads(read_file(path, largest), parse_constant=_read_finite, parse_float=_read_finite)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    _refuse_deep(found, DEEPEST_JSON)
    return found


def hash_file(path: Path) -> str:
    """Return the sha256 of a file as 64 hexadecimal digits. The path may be a link.

    Raises UnsafeFile unless it is a regular file; OSError as `open` does.
    """
    with _open_followed(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_file(path: Path, content: bytes) -> None:
    """Write a file, or replace it, in one step: after a crash there is either the former file or the new one."""
    with replace_file(path) as partial, partial.open("wb") as stream:
        stream.write(content)


def write_new(path: Path, content: bytes) -> None:
    """Write a file that does not exist yet and force it onto the disk."""
    with open_regular(path, "xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yield a partial file to write to. It is renamed to `path` when the block ends, or removed after an error.

    A link at `path` is replaced and not followed. The file is on the disk when the block has ended.
    """
    partial = path.with_name(f".{path.name[:50]}.{uuid.uuid4().hex[:12]}{_PARTIAL}")
    os.close(os.open(partial, _FLAGS["xb"] | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666))
    try:
        yield partial
        sync_file(partial)
        partial.replace(path)
        sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def is_partial(name: str) -> bool:
    """Return whether a file name is that of a partial file, which a killed process left behind."""
    return name.startswith(".") and name.endswith(_PARTIAL)


def cut_file(path: Path, size: int) -> None:
    """Remove everything after the first `size` bytes of a regular file that has one name only."""
    with open_regular(path, "r+b") as stream:
        stream.truncate(size)


def require_regular(path: Path) -> int:
    """Return the size in bytes of a regular file that has one name only.

    Raises UnsafeFile for a link or anything else that is not a regular file; FileNotFoundError if nothing is there.
    """
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        raise UnsafeFile(path, "is a link")
    _require_own_file(path, status)
    return status.st_size


def make_folder(path: Path) -> None:
    """Make a folder unless it exists. Raises UnsafeFile if a link or a file has its name."""
    try:
        path.mkdir(parents=True)
    except FileExistsError as error:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            raise UnsafeFile(path, "is a link" if path.is_symlink() else "is not a folder") from error


def sync_file(path: Path) -> int:
    """Force the content of a file onto the disk and return its size in bytes."""
    with open_regular(path, "rb") as stream:
        os.fsync(stream.fileno())
        return os.fstat(stream.fileno()).st_size


def sync_folder(path: Path) -> None:
    """Force the names in a folder onto the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _open_followed(path: Path) -> Iterator[BufferedReader]:
    """Open a regular file for reading, through links too. Raises UnsafeFile for anything but a file or a folder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise UnsafeFile(path, "is not a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            yield stream
    finally:
        os.close(descriptor)


def _read_finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is no finite number")
    return number


def _refuse_deep(value: object, most: int) -> None:
    if most < 0:
        raise ValueError(_TOO_DEEP)
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _refuse_deep(each, most - 1)


def _require_own_file(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UnsafeFile(path, "is not a regular file")
    if status.st_nlink > 1:
        fault = f"has {status.st_nlink} names (hard links), so a change would also change the others"
        raise UnsafeFile(path, fault, "put a copy in its place")
