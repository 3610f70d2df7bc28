"""A progress bar on stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bar

from orbmm.download.transfer import Progress


@contextmanager
def show_progress(name: str) -> Iterator[Progress]:
    """Give a function that moves the bar; nothing is drawn off a terminal, for rich leaves an empty line in a log."""
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
