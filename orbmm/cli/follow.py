"""The display of a run in progress: a bar, lines, a log file, or nothing."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from orbmm.cli.screen import PlainFormatter, open_console, say
from orbmm.cli.streams import LOG_DATE, open_log
from orbmm.errors import OrbmmError
from orbmm.plain_text import make_line

if TYPE_CHECKING:
    from rich.console import Console

    from orbmm.simulation.progress import Progress

_SECONDS_BETWEEN_LINES = 15.0
_SECONDS_BETWEEN_LOG_LINES = 60.0
_LEAST_BAR = 8  # columns
_LOG = logging.getLogger("orbmm")


@contextmanager
def follow_progress(quiet: bool, log: Path | None = None) -> Iterator[Callable[[Progress], None]]:
    """Yield a function that draws progress: a bar on a terminal, lines at intervals elsewhere, nothing if quiet.

    log: a file for all messages and progress, and for an error; the screen then shows nothing
    Raises RunError for a file that is no log, or cannot be written.
    """
    from orbmm.simulation.progress import ignore_progress

    console = open_console()
    if log is not None:
        with _log_to(log):
            yield _LinePrinter(_LOG.info, _SECONDS_BETWEEN_LOG_LINES)
    elif quiet:
        _LOG.setLevel(logging.WARNING)
        yield ignore_progress
    elif console.is_terminal:
        with _open_bar(console) as draw:
            yield draw
    else:
        yield _LinePrinter(say, _SECONDS_BETWEEN_LINES)


def tell(sentence: str, quiet: bool, log: Path | None) -> None:
    """Print or log a sentence in the manner of follow_progress; nothing if quiet."""
    if log is not None:
        _LOG.info(sentence)
    elif not quiet:
        say(sentence)


@contextmanager
def _log_to(path: Path) -> Iterator[None]:
    """Append the log messages of the package to a file, each line with its time."""
    with open_log(path) as stream:
        handler = logging.StreamHandler(stream)
        handler.setFormatter(PlainFormatter("%(asctime)s %(message)s", LOG_DATE))
        _LOG.addHandler(handler)
        _LOG.propagate = False
        try:
            yield
        except OrbmmError as error:
            _LOG.error("error: %s", make_line(str(error)))
            raise
        finally:
            _LOG.propagate = True
            _LOG.removeHandler(handler)


@contextmanager
def _open_bar(console: Console) -> Iterator[Callable[[Progress], None]]:
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    with Bar(BarColumn(), TextColumn("{task.description}", markup=False), console=console) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda progress: bar.update(
            task,
            total=progress.total_steps,
            completed=progress.step,
            description=_describe(progress, console.width - _LEAST_BAR),
        )


class _LinePrinter:
    """A printer of progress as plain lines, at intervals; the last line is always printed."""

    def __init__(self, write: Callable[[str], None], seconds_between: float) -> None:
        self._write = write
        self._seconds_between = seconds_between
        self._last = float("-inf")

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._last >= self._seconds_between or progress.step == progress.total_steps:
            self._last = now
            self._write(_describe(progress))


def _describe(progress: Progress, width: int | None = None) -> str:
    """Return one line: stage, steps, ps, temperature, potential energy, RMSD if requested, speed, time left.

    width: of the line, which leaves out what there is no room for: first the energy, last the time left.
    """
    energy = progress.potential_energy_kj_mol
    parts = {
        "stage": "" if progress.stage == "produce" else progress.stage,
        "step": f"step {progress.step}/{progress.total_steps}",
        "time": f"{progress.time_ps:.3f} ps",
        "temperature": f"{progress.temperature_kelvin:.0f} K",
        "energy": "" if math.isnan(energy) else f"{energy:.1f} kJ/mol",
        "rmsd": "" if progress.rmsd_nm is None else f"RMSD {progress.rmsd_nm:.3f} nm",
        "speed": f"{progress.ns_per_day:.3g} ns/day" if progress.ns_per_day else "",
        "left": f"{_format_duration(progress.seconds_left)} left" if progress.ns_per_day else "",
    }
    for name in ("none", "energy", "speed", "rmsd", "temperature", "stage", "time", "left"):
        parts.pop(name, None)
        line = "  ".join(part for part in parts.values() if part)
        if width is None or len(line) <= width:
            break
    return line


def _format_duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
