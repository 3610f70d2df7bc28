"""The number of whole frames in a trajectory, whose last one may be torn or half written."""

from __future__ import annotations

from pathlib import Path

import mdtraj as md

from orbmm.analysis.silence import silence_c_readers
from orbmm.run_files.xtc import HEADER_BYTES, measure_frame

READING_ERRORS = (OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError)  # of mdtraj's readers


def count_frames(path: Path) -> int:
    """Whole frames of a file that may still grow, 0 when it is not there yet. An XTC file is not unpacked for it."""
    if not path.is_file() or path.stat().st_size == 0:
        return 0
    return _walk_xtc(path) if path.suffix == ".xtc" else count_readable(path)[0]


def count_readable(path: Path) -> tuple[int, int]:
    """Return the number of frames that can be read one by one, and the number of atoms in each."""
    whole, atoms = 0, 0
    try:
        with silence_c_readers(), md.open(str(path)) as file:
            while len(coordinates := file.read(n_frames=1)[0]):
                whole, atoms = whole + 1, coordinates.shape[1]
    except READING_ERRORS:
        return whole, atoms
    return whole, atoms


def _walk_xtc(path: Path) -> int:
    """Count the whole frames by the length that the header of each states."""
    size, offset, whole = path.stat().st_size, 0, 0
    with path.open("rb") as file:
        while offset < size:
            file.seek(offset)
            length = measure_frame(file.read(HEADER_BYTES))
            if length is None:
                break
            offset += length
            whole += offset <= size
    return whole
