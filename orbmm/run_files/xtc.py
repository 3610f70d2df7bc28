"""Frames in the XTC format of Gromacs: their lengths, and a check before a reader in C unpacks them.

Such a reader trusts the file: a length, a table index or a count of atoms that does not fit makes it write beyond its
memory. Frames of more than nine atoms are packed: groups of one atom and up to ten others near it, as a string of bits.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

HEADER_BYTES = 92  # magic, atoms, step, time, box; atoms, precision, range, small index, packed length
SHORT_HEADER_BYTES = 56  # of a frame with at most _FEW_ATOMS atoms, whose coordinates are not packed
_MAGIC = 1995
_FEW_ATOMS = 9
_MOST_ATOMS = 500_000_000  # beyond this the reader's 32-bit sizes overflow
_PACKING = struct.Struct(">f8i")  # precision, least and largest coordinates, small index, packed length
_LEAST_INDEX, _LARGEST_INDEX = 9, 72  # of the table of sizes; an index is also the number of bits of a near atom
_LARGEST_TOGETHER = 0xFFFFFF  # range up to which the three coordinates of an atom are packed as one number
_ROOM = 1.2  # of the unpacked coordinates: the buffer for the packed ones, which keeps three numbers for itself
_BYTES_AT_ONCE = 1 << 26
# By the six bits after the first atom of a group; the last five count only if the first one is set.
_IS_SET = np.arange(64) >= 32
_NEAR_ATOMS = np.arange(64) % 32 // 3
_BITS_USED = np.where(_IS_SET, 6, 1)
_CHANGE_OF_BITS = np.where(_IS_SET, np.arange(64) % 32 % 3 - 1, 0)


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


def find_xtc_fault(path: Path) -> str | None:
    """Return why a reader in C must not open an XTC file, as "frame 3 has 5 atoms, but ..."; None if it may.

    A file that ends within a frame is no fault: readers notice that.
    """
    batch: list[_PackedFrame] = []
    try:
        with path.open("rb") as file:
            for frame in _list_packed(file, path.stat().st_size):
                batch.append(frame)
                if frame.end - batch[0].start > _BYTES_AT_ONCE:
                    _check_batch(file, batch)
                    batch = []
            _check_batch(file, batch)
    except _Damaged as fault:
        return str(fault)
    return None


class _Damaged(Exception):
    """A frame that a reader in C must not unpack; the text says which and why."""


@dataclass(frozen=True)
class _PackedFrame:
    """The packed coordinates of a frame: their bytes in the file, and how they are packed.

    number: of the frame, from 1. start, end: without the bytes that round the length up
    wide, near: bits of the first atom of a group, and of each other one in the first group
    """

    number: int
    atoms: int
    start: int
    end: int
    wide: int
    near: int


def _list_packed(file: BinaryIO, size: int) -> Iterator[_PackedFrame]:
    """Check the header of each frame; yield the frames that are whole and packed. Raises _Damaged."""
    offset, number, atoms = 0, 0, 0
    while offset < size:
        number += 1
        file.seek(offset)
        header = file.read(HEADER_BYTES)
        if len(header) >= SHORT_HEADER_BYTES:
            atoms = _check_atoms(header, number, atoms)
        frame = _check_packing(header, number, offset) if len(header) == HEADER_BYTES and atoms > _FEW_ATOMS else None
        end = offset + (measure_frame(header) or size + 1)  # without a whole header, beyond the end of the file
        if end > size and number == 1:
            raise _Damaged("its first frame is not whole")
        if end > size:
            return
        if frame is not None:
            yield frame
        offset = end


def _check_atoms(header: bytes, number: int, expected: int) -> int:
    """Return the number of atoms in a frame. expected: that of the first frame, 0 if this is the first."""
    magic, atoms = struct.unpack_from(">2i", header)
    (again,) = struct.unpack_from(">i", header, SHORT_HEADER_BYTES - 4)
    if magic != _MAGIC or not 0 < atoms <= _MOST_ATOMS:
        raise _Damaged(f"frame {number} does not begin as one of an XTC file does")
    for found in (atoms, again):
        if found != (expected or atoms):
            raise _Damaged(f"frame {number} has {found} atoms, but those before {expected or atoms}")
    return atoms


def _check_packing(header: bytes, number: int, offset: int) -> _PackedFrame:
    """Return where the coordinates of a frame are that starts at byte `offset`, and how they are packed."""
    (atoms,) = struct.unpack_from(">i", header, 4)
    precision, *limits, near, packed = _PACKING.unpack_from(header, SHORT_HEADER_BYTES)
    ranges = [largest - least + 1 for least, largest in zip(limits[:3], limits[3:], strict=True)]
    if not (math.isfinite(precision) and precision > 0.0):
        raise _Damaged(f"frame {number} has a resolution of 1/{precision:g} nm")
    if not all(1 <= one < 2**31 for one in ranges) or not _LEAST_INDEX <= near <= _LARGEST_INDEX:
        raise _Damaged(f"frame {number} has coordinates in an impossible range")
    room = 4 * (int(_ROOM * (3 * atoms)) - 3)
    if not 0 < packed <= room:
        raise _Damaged(f"frame {number} has {packed} bytes of coordinates, and {atoms} atoms take at most {room}")
    start = offset + HEADER_BYTES
    return _PackedFrame(number, atoms, start, start + packed, _count_bits(ranges), near)


def _count_bits(ranges: list[int]) -> int:
    """Return the number of bits of an atom whose coordinates have so many possible values."""
    together = max(ranges) <= _LARGEST_TOGETHER
    return math.prod(ranges).bit_length() if together else sum(one.bit_length() for one in ranges)


def _check_batch(file: BinaryIO, frames: list[_PackedFrame]) -> None:
    """Go through the groups of atoms of all frames at once. Raises _Damaged where they do not fit the frame.

    A group is one atom, one bit, and near atoms. If the bit is set, five bits follow it: how many near atoms this and
    the next groups have, and whether near atoms take one bit less or more after it.
    """
    if not frames:
        return
    first = frames[0].start
    file.seek(first)
    content = file.read(frames[-1].end - first) + bytes(16)
    pairs = np.ndarray(len(content) - 1, ">u2", content, strides=(1,))  # the 16 bits from each byte on
    number, left, end, wide, near, position = np.array([_tabulate(frame, first) for frame in frames]).T  # (F,) each
    run = np.zeros_like(number)
    while len(number):
        position = position + wide
        six = pairs[position >> 3] >> (10 - (position & 7)) & 63
        run = np.where(six < 32, run, _NEAR_ATOMS[six])
        position += _BITS_USED[six] + run * near
        left = left - 1 - run
        near = near + _CHANGE_OF_BITS[six]
        wrong = (left < 0) | (position > end) | (near < _LEAST_INDEX) | (near > _LARGEST_INDEX)
        if wrong.any():
            raise _Damaged(f"frame {number[wrong][0]} has packed coordinates that do not fit its header")
        if not left.all():
            go = left > 0
            number, left, end, wide, near, position, run = (
                each[go] for each in (number, left, end, wide, near, position, run)
            )


def _tabulate(frame: _PackedFrame, first: int) -> tuple[int, ...]:
    """Return number, atoms, end [bits], bits and place [bits] of a frame; bits are counted from byte `first`."""
    return frame.number, frame.atoms, 8 * (frame.end - first), frame.wide, frame.near, 8 * (frame.start - first)
