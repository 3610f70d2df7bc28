"""What every reporter does, and how its file is cut back to a checkpoint."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from orbmm.errors import RunError
from orbmm.simulation.moment import Moment


class Reporter(Protocol):
    """Writes one file of a run, one entry every `steps_between` steps, the first at step 0."""

    path: Path
    steps_between: int
    needs_energy: bool
    needs_confidence: bool

    def report(self, moment: Moment) -> None:
        """Append one entry and hand it to the operating system."""
        ...


def cut_back(path: Path, size: int) -> None:
    """Drop everything after the first `size` bytes: entries written after the checkpoint, also a torn last one.

    Raises RunError if the file is gone or shorter than that.
    """
    if not path.is_file():
        raise RunError(f"{path} is missing; the run cannot go on without it")
    if path.stat().st_size < size:
        raise RunError(f"{path} holds {path.stat().st_size} bytes, but {size} when the checkpoint was written: damaged")
    os.truncate(path, size)
