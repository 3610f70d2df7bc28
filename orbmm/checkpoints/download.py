"""Bringing one weights file from its server to its place, whole or not at all."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock, Timeout
from pooch import HTTPDownloader
from requests import exceptions
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from orbmm.checkpoints.checksum import hash_file, looks_like_weights
from orbmm.errors import CheckpointError

logger = logging.getLogger(__name__)

SILENCE_SECONDS = 30
"""The server may stay silent for as long before the download is given up."""


def download_weights(url: str, target: Path, sha256: str | None) -> None:
    """Put what url serves at target, which appears under its name only when it is complete.

    sha256: what the file must hold, None where that is not known yet.
    Of two processes that ask for the same file, one downloads and the other waits for it.
    Raises CheckpointError, with what to do, where nothing or something else than weights arrives.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    with _lock_against_others(target):
        if target.is_file():
            return
        try:
            _fetch(url, partial, target)
            _check_arrival(url, partial, sha256, target)
            partial.replace(target)
            logger.info("downloaded %s to %s", url, target)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def _lock_against_others(target: Path) -> Iterator[None]:
    """Hold the right to write target; wait, with a line in the log, while another process has it."""
    lock = FileLock(target.with_name(f".{target.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.info("waiting for another process that downloads %s", target.name)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _fetch(url: str, partial: Path, target: Path) -> None:
    """Stream url into the file partial with a progress bar on stderr."""
    with _show_progress(target.name) as bar:
        download = HTTPDownloader(progressbar=bar, chunk_size=1 << 18, timeout=SILENCE_SECONDS)
        try:
            download(url, str(partial), None)
        except exceptions.RequestException as error:
            raise CheckpointError(
                f"{url} cannot be downloaded ({_explain(error, url)}): "
                f"get the file on a machine with a network and put it at {target}, or give it as weights="
            ) from error


@contextmanager
def _show_progress(name: str) -> Iterator[_PoochBar | bool]:
    """A bar on stderr; False where nobody would see it move, for rich leaves an empty line in a log at its end."""
    console = Console(stderr=True)
    if not (console.is_interactive or console.is_jupyter):
        yield False
        return
    columns = (TextColumn(name), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield _PoochBar(progress)


class _PoochBar:
    """The four members that pooch asks of a progress bar, drawn by rich."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("download", total=None)

    @property
    def total(self) -> float | None:
        """Bytes to come, None while the server has not said."""
        return self._progress.tasks[0].total

    @total.setter
    def total(self, total: int) -> None:
        self._progress.update(self._task, total=total or None)

    def update(self, count: int) -> None:
        """Count bytes that have arrived."""
        self._progress.advance(self._task, count)

    def reset(self) -> None:
        """Count from nought again."""
        self._progress.update(self._task, completed=0)

    def close(self) -> None:
        """Nothing is left to do: rich closes its own display."""


def _explain(error: exceptions.RequestException, url: str) -> str:
    """The cause in a few words; the texts of requests fill several lines."""
    if isinstance(error, exceptions.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, exceptions.ChunkedEncodingError):
        return "the connection broke off halfway"
    if isinstance(error, exceptions.Timeout):
        return f"no answer from {urlsplit(url).netloc} in {SILENCE_SECONDS} s"
    if isinstance(error, exceptions.ConnectionError):
        return f"the connection to {urlsplit(url).netloc} failed"
    return type(error).__name__


def _check_arrival(url: str, partial: Path, sha256: str | None, target: Path) -> None:
    """Raise CheckpointError unless the arrived file is a whole weights file with the sha256 it must have."""
    if not looks_like_weights(partial):
        raise CheckpointError(
            f"{url} answered with something other than a whole weights file ({partial.stat().st_size} bytes, perhaps "
            f"the page of a login or proxy): try again, or put the file at {target}"
        )
    arrived = hash_file(partial)
    if sha256 is not None and arrived != sha256:
        raise CheckpointError(
            f"{url} now serves another file than before (sha256 {arrived}, expected {sha256}): if its publisher has "
            f"replaced it, delete {target}.sha256 to accept the new one"
        )
