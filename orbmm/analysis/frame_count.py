"""How many whole frames a trajectory holds, when its last one may be torn or half written."""

from __future__ import annotations

import struct
from pathlib import Path

import mdtraj as md

from orbmm.analysis.silence import silence_c_readers

READING_ERRORS = (OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError)  # of mdtraj's readers
_XTC_MAGIC = 1995
_XTC_HEADER = 92  # bytes: magic, atoms, step, time, box; atoms, precision, range, small index, packed length
_XTC_PLAIN = 56  # bytes before the coordinates of so few atoms that they are not packed
_XTC_FEW_ATOMS = 9


def count_frames(path: Path) -> int:
    """Whole frames of a file that may still grow, 0 when it is not there yet. An XTC file is not unpacked for it."""
    if not path.is_file() or path.stat().st_size == 0:
        return 0
    return _walk_xtc(path) if path.suffix == ".xtc" else count_readable(path)[0]


def count_readable(path: Path) -> tuple[int, int]:
    """How many frames can be read one by one, and the atoms in each."""
    whole, atoms = 0, 0
    try:
        with silence_c_readers(), md.open(str(path)) as file:
            while len(coordinates := file.read(n_frames=1)[0]):
                whole, atoms = whole + 1, coordinates.shape[1]
    except READING_ERRORS:
        return whole, atoms
    return whole, atoms


def _walk_xtc(path: Path) -> int:
    """From header to header, by the length that each states."""
    size, place, whole = path.stat().st_size, 0, 0
    with path.open("rb") as file:
        while place < size:
            file.seek(place)
            header = file.read(_XTC_HEADER)
            if len(header) < 8:
                break
            magic, atoms = struct.unpack_from(">2i", header)
            if magic != _XTC_MAGIC:
                break
            if atoms <= _XTC_FEW_ATOMS:
                place += _XTC_PLAIN + 12 * atoms
            elif len(header) == _XTC_HEADER:
                place += _XTC_HEADER + (struct.unpack_from(">i", header, _XTC_HEADER - 4)[0] + 3) // 4 * 4
            else:
                break
            whole += place <= size
    return whole
