"""The headers of Gromacs' TRR frames: what each frame holds, without reading its numbers."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_MAGIC = 1993
_HEADER = struct.Struct(">3i12s13i")  # magic, lengths of the name, name; sizes of the blocks, atoms, step, energies
_SINGLE, _DOUBLE = struct.Struct(">2f"), struct.Struct(">2d")  # time, lambda


@dataclass(frozen=True)
class TrrFrame:
    """atoms: in the frame. time_ps: [ps]. positions: whether it holds them, and not velocities or forces alone."""

    atoms: int
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
            magic, _, _, _, *sizes = _HEADER.unpack_from(head)
            blocks, atoms = sizes[:10], sizes[10]
            if magic != _MAGIC or atoms <= 0 or min(blocks) < 0:
                return
            clock = _DOUBLE if _is_double(blocks, atoms) else _SINGLE
            offset += _HEADER.size + clock.size + sum(blocks)
            if offset > size:
                return
            yield TrrFrame(atoms, clock.unpack_from(head, _HEADER.size)[0], blocks[7] > 0)


def _is_double(blocks: list[int], atoms: int) -> bool:
    """Tell whether numbers take eight bytes; blocks: sizes, the box third, positions, velocities and forces last."""
    if blocks[2]:
        return blocks[2] == 72
    return max(blocks[7:]) == 24 * atoms
