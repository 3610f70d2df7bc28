"""What every reporter does, and how its file is cut back to a checkpoint."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from orbmm.errors import RunError
from orbmm.files import cut_file, require_regular
from orbmm.simulation.dynamics.frame import Frame

CountEntries = Callable[[Path, int], int]
"""Returns 0, 1 or 2 for no whole entry, that of step 0 alone, or more. Takes the path and the number of atoms."""


class Reporter(Protocol):
    """Writes one file of a run, one entry every `steps_between` steps, the first at step 0."""

    path: Path
    steps_between: int
    needs_energy: bool
    needs_confidence: bool

    def report(self, frame: Frame) -> None:
        """Append one entry and hand it to the operating system."""
        ...


def cut_back(sizes: Mapping[Path, int]) -> None:
    """Drop what was written to files after a checkpoint, also a torn last entry. sizes: bytes that each file keeps.

    Raises what `check_sizes` raises, before any file is cut.
    """
    check_sizes(sizes)
    for path, size in sizes.items():
        cut_file(path, size)


def check_sizes(sizes: Mapping[Path, int]) -> None:
    """Raise RunError if a file is missing or shorter than it was, UnsafeFile if it is a link or no regular file."""
    for path, size in sizes.items():
        if not os.path.lexists(path):
            raise RunError(f"{path} is missing; the run cannot go on without it")
        found = require_regular(path)
        if found < size:
            raise RunError(f"{path} holds {found} bytes, but {size} when the checkpoint was written: damaged")
