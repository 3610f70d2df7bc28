"""The length of a frame in the XTC format of Gromacs, from the header of the frame."""

from __future__ import annotations

import struct

HEADER_BYTES = 92  # magic, atoms, step, time, box; atoms, precision, range, small index, packed length
SHORT_HEADER_BYTES = 56  # of a frame with at most _FEW_ATOMS atoms, whose coordinates are not packed
_MAGIC = 1995
_FEW_ATOMS = 9


def measure_frame(header: bytes) -> int | None:
    """Return the number of bytes of the frame that starts with this header; None if it is no XTC header.

    header: the first HEADER_BYTES of the frame, or fewer at the end of a file
    """
    if len(header) < SHORT_HEADER_BYTES:
        return None
    magic, atoms = struct.unpack_from(">2i", header)
    if magic != _MAGIC or atoms < 0:
        return None
    if atoms <= _FEW_ATOMS:
        return SHORT_HEADER_BYTES + 12 * atoms
    if len(header) < HEADER_BYTES:
        return None
    (packed,) = struct.unpack_from(">i", header, HEADER_BYTES - 4)
    return HEADER_BYTES + (packed + 3) // 4 * 4 if packed >= 0 else None


def count_atoms(header: bytes) -> int | None:
    """Return the number of atoms of the frame that starts with this header; None if it is no XTC header."""
    return None if measure_frame(header) is None else int(struct.unpack_from(">i", header, 4)[0])
