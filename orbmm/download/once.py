"""Download a file once, with a progress bar, and check it before it gets its name."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bar

from orbmm.download.partial import download_file, remove_partial
from orbmm.download.transfer import Limits, Progress
from orbmm.errors import OrbmmError, UnsafeFile
from orbmm.files import sync_file, sync_folder

_log = logging.getLogger(__name__)


def download_once(url: str, target: Path, check: Callable[[Path], None], limits: Limits) -> bool:
    """Download url to target unless it is there; return True if it was downloaded now.

    check: reads the complete file before it gets its name, and raises an OrbmmError to refuse it; a refused file is
        deleted
    If two processes request the same file, one downloads it and the other waits.
    Raises DownloadError, the errors of check, and OSError if the folder cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    with _lock_against_others(target):
        if target.is_file():
            return False
        with show_progress(target.name) as progress, _quieten(logging.getLogger("urllib3")):
            download_file(url, partial, limits, progress)
        try:
            check(partial)
        except OrbmmError:
            remove_partial(partial)
            raise
        sync_file(partial)
        partial.replace(target)
        sync_folder(target.parent)
    _log.info("downloaded %s to %s", url, target)
    return True


@contextmanager
def _lock_against_others(target: Path) -> Iterator[None]:
    """Hold the lock for target; while another process holds it, log one line and wait."""
    path = target.with_name(f".{target.name}.lock")
    if path.is_symlink():
        raise UnsafeFile(path, "is a link")
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _log.info("waiting for another process that downloads %s", target.name)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _quieten(logger: logging.Logger) -> Iterator[None]:
    """Silence a logger: urllib3 writes a traceback to stderr for headers that it cannot parse."""
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def show_progress(name: str) -> Iterator[Progress]:
    """Yield a function that moves the bar; off a terminal nothing is drawn, as rich would print an empty line."""
    console = Console(stderr=True)
    if not (console.is_interactive or console.is_jupyter):
        yield _draw_nothing
        return
    columns = (TextColumn(name), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("download", total=None)
        yield lambda here, total: bar.update(task, completed=here, total=total)


def _draw_nothing(here: int, total: int | None) -> None:
    """Do nothing."""
