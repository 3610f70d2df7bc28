"""Standard output, standard error and log files whose failures end no command.

A run may take days, and the pipe, terminal or disk that it prints to may be gone before it ends. What cannot be written
there is lost, and one sentence says so.
"""

from __future__ import annotations

import errno
import io
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from orbmm.errors import DiskFull, OrbmmError, RunError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

LOG_DATE = "%Y-%m-%d %H:%M:%S"
"""Format of the time at the start of each line of a log."""

_LOG_START = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")
_EXAMPLE = b"2000-01-01 00:00:00 "


class ForgivingOutput(io.RawIOBase):
    """Output to a file descriptor. An error loses what was to be written, and nothing else.

    lost: the first error, None if everything was written. on_loss: called once, with this error
    The descriptor is not closed together with this object.
    """

    def __init__(self, descriptor: int, on_loss: Callable[[OSError], None]) -> None:
        self.lost: OSError | None = None
        self._descriptor = descriptor
        self._on_loss = on_loss

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Return whether the output goes to a terminal."""
        return os.isatty(self._descriptor)

    def write(self, content: ReadableBuffer, /) -> int:
        """Write bytes, or lose them; return how many of them are done with."""
        try:
            return os.write(self._descriptor, content)
        except OSError as error:
            if self.lost is None:
                self.lost = error
                self._on_loss(error)
            return memoryview(content).nbytes


def protect_streams(tell_broken_pipe: bool) -> ForgivingOutput:
    r"""Replace sys.stdout and sys.stderr for the rest of the process; return standard output.

    Characters that its encoding lacks are written out, as in \xb1. Descriptors that are closed are opened to nowhere:
    otherwise a file of the run would get the number of standard output, and with it what libraries print.
    tell_broken_pipe: whether to say that a reader has left. It need not be said if a command has nothing left to do.
    """
    for descriptor in (0, 1, 2):
        _open_if_closed(descriptor)

    def tell(error: OSError) -> None:
        if error.errno != errno.EPIPE or tell_broken_pipe:
            _warn("standard output", error)

    output = ForgivingOutput(1, tell)
    sys.stderr = _wrap(ForgivingOutput(2, lambda error: None), sys.stderr)
    sys.stdout = _wrap(output, sys.stdout)
    return output


def find_exit_code(output: ForgivingOutput) -> int:
    """Return the exit code of a command whose result is what it has printed; a reader may leave before the end."""
    sys.stdout.flush()
    if output.lost is None or output.lost.errno == errno.EPIPE:
        return 0
    return DiskFull.exit_code if output.lost.errno in (errno.ENOSPC, errno.EDQUOT) else OrbmmError.exit_code


@contextmanager
def open_log(path: Path) -> Iterator[TextIO]:
    """Yield a log file to append to: a new or empty file, a log of orbmm, or a device such as /dev/null.

    An error while it is written is only told, on standard error.
    Raises RunError for any other file, for a pipe, and if the file cannot be opened.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        raise RunError(f"log file {path} cannot be written ({error.strerror})") from error
    try:
        _check_log(path, descriptor)
        os.set_blocking(descriptor, True)
        with _wrap(ForgivingOutput(descriptor, lambda error: _warn(f"log file {path}", error)), None) as stream:
            yield stream
    finally:
        with suppress(OSError):  # some file systems report a full disk here
            os.close(descriptor)


def _check_log(path: Path, descriptor: int) -> None:
    """Raise RunError for a file that a log must not be appended to."""
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISCHR(mode):
        return
    if not stat.S_ISREG(mode):
        raise RunError(f"log file {path} is a pipe or another special file, which could hold up the run; name a file")
    first, newline, rest = os.pread(descriptor, 2 * len(_EXAMPLE), 0).partition(b"\n")
    if len(first) < len(_EXAMPLE) and _LOG_START.match(first + _EXAMPLE[len(first) :]):  # cut short by a full disk
        if first and not newline:
            os.write(descriptor, b"\n")
        first = rest
    if first and not _LOG_START.match(first):
        raise RunError(f"log file {path} exists and is no log of orbmm, so nothing is appended to it; name a new file")


def _warn(what: str, error: OSError) -> None:
    reason = error.strerror or type(error).__name__
    sys.stderr.write(f"warning: {what} cannot be written ({reason}); the command goes on without it\n")


def _open_if_closed(descriptor: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError:
        opened = os.open(os.devnull, os.O_RDWR)  # the lowest free number
        if opened != descriptor:
            os.dup2(opened, descriptor)
            os.close(opened)


def _wrap(output: ForgivingOutput, former: TextIO | None) -> TextIO:
    """Return a text stream to the output, with encoding and buffering of the former one if there was one."""
    return io.TextIOWrapper(
        io.BufferedWriter(output),
        encoding=getattr(former, "encoding", None) or "utf-8",
        errors="backslashreplace",
        line_buffering=former is None or bool(getattr(former, "line_buffering", True)),
        write_through=bool(getattr(former, "write_through", False)),
    )
