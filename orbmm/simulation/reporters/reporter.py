"""The interface of all reporters, and cutting their files back to a checkpoint."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from orbmm.errors import RunError
from orbmm.files import cut_file, require_regular
from orbmm.simulation.dynamics.frame import Frame

CountEntries = Callable[[Path, int], int]
"""Returns 0, 1 or 2 for no complete entry, only that of step 0, or more. Takes the path and the number of atoms."""


class Reporter(Protocol):
    """Writer of one file of a run: one entry every `steps_between` steps, the first at step 0."""

    path: Path
    steps_between: int
    needs_energy: bool
    needs_confidence: bool

    def report(self, frame: Frame) -> None:
        """Append one entry and flush it to the operating system."""
        ...


def cut_back(sizes: Mapping[Path, int]) -> None:
    """Remove everything that was written to files after a checkpoint. sizes: bytes that each file keeps

    Raises the errors of `check_sizes`, before any file is changed.
    """
    check_sizes(sizes)
    for path, size in sizes.items():
        cut_file(path, size)


def check_sizes(sizes: Mapping[Path, int]) -> None:
    """Raise RunError if a file is missing or too short, UnsafeFile if it is a link or not a regular file."""
    for path, size in sizes.items():
        if not os.path.lexists(path):
            raise RunError(f"{path} is missing; the run cannot continue without it")
        found = require_regular(path)
        if found < size:
            raise RunError(f"{path} holds {found} bytes, but held {size} at the checkpoint: it is damaged")
