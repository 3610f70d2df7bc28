"""The headers of Gromacs' TRR frames: what each frame holds, without reading its numbers."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_START = (1993, 13, 12, b"GMX_trn_file")  # magic, lengths of the name, name
_HEADER = struct.Struct(">3i12s13i")  # the start; sizes of the blocks, atoms, step, energies
_SINGLE, _DOUBLE = struct.Struct(">2f"), struct.Struct(">2d")  # time, lambda


@dataclass(frozen=True)
class TrrFrame:
    """One frame.

    atoms: in the frame. end: first byte after it. time_ps: [ps].
    positions: whether it holds them, and not velocities or forces alone.
    """

    atoms: int
    end: int
    time_ps: float
    positions: bool


def walk_trr(path: Path) -> Iterator[TrrFrame]:
    """Yield what the header of each whole frame says, up to the end or to the first bytes that are no header."""
    size, offset = path.stat().st_size, 0
    with path.open("rb") as file:
        while offset < size:
            file.seek(offset)
            head = file.read(_HEADER.size + _DOUBLE.size)
            if len(head) < _HEADER.size + _SINGLE.size:
                return
            numbers = _HEADER.unpack_from(head)
            blocks, atoms = list(numbers[4:14]), numbers[14]
            if numbers[:4] != _START or not _is_possible(blocks, atoms):
                return
            clock = _DOUBLE if _is_double(blocks, atoms) else _SINGLE
            offset += _HEADER.size + clock.size + sum(blocks)
            if offset > size:
                return
            yield TrrFrame(atoms, offset, clock.unpack_from(head, _HEADER.size)[0], blocks[7] > 0)


def _is_possible(blocks: list[int], atoms: int) -> bool:
    """Tell whether blocks have the sizes of so many atoms: a reader in C divides by them and makes room for them.

    blocks: of the box, virial and pressure third to fifth, of positions, velocities and forces last; the others are
    not used and empty
    """
    if atoms <= 0 or any(blocks[at] for at in (0, 1, 5, 6)):
        return False
    width = 8 if _is_double(blocks, atoms) else 4
    tensors, vectors = blocks[2:5], blocks[7:]
    return all(one in (0, 9 * width) for one in tensors) and all(one in (0, 3 * width * atoms) for one in vectors)


def _is_double(blocks: list[int], atoms: int) -> bool:
    """Tell whether numbers take eight bytes; blocks: sizes, the box third, positions, velocities and forces last."""
    if blocks[2]:
        return blocks[2] == 72
    return max(blocks[7:]) == 24 * atoms
