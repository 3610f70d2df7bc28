"""The header of a DCD file of CHARMM, NAMD, OpenMM, LAMMPS or X-PLOR, in both byte orders, and CHARMM's box."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from orbmm.errors import AnalysisError

_HEADER_BYTES = 92  # a record of 84 bytes between its lengths
_TIME_UNIT_PS = 0.04888821  # CHARMM's, in which the time step is stated
_PLACEHOLDER = 1.0  # the time step that VMD and mdtraj write for every file
_OTHER_UNITS = b"Written by LAMMPS"  # states the time step in the unit of its input


@dataclass(frozen=True)
class DcdHeader:
    """frames: how many were written. first_ps, frame_ps: time of the first and between two [ps]; None if not held.

    empty: whether the file ends behind its header.
    """

    frames: int
    first_ps: float | None
    frame_ps: float | None
    empty: bool


def read_dcd_header(path: Path) -> DcdHeader:
    """Return the header of a DCD file. Raises AnalysisError when the file does not start with one."""
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES + 100_000)
    order = {struct.pack("<i", 84): "<", struct.pack(">i", 84): ">"}.get(head[:4])
    if order is None or len(head) < _HEADER_BYTES or head[4:8] != b"CORD":
        raise AnalysisError(f"{path}: does not start as a DCD file does; it is torn or of another format")
    numbers = struct.unpack_from(f"{order}20i", head, 8)
    frames, first, every = numbers[:3]
    (timestep,) = struct.unpack_from(f"{order}f" if numbers[19] else f"{order}d", head, 44)  # X-PLOR's is a double
    (title_bytes,) = struct.unpack_from(f"{order}i", head, _HEADER_BYTES) if len(head) >= 96 else (0,)
    title = head[_HEADER_BYTES + 4 : _HEADER_BYTES + 4 + max(0, title_bytes)]
    empty = path.stat().st_size <= _HEADER_BYTES + title_bytes + 8 + 12
    if not math.isfinite(timestep) or timestep in (0.0, _PLACEHOLDER) or every <= 0 or _OTHER_UNITS in title:
        return DcdHeader(frames, None, None, empty)
    step_ps = abs(timestep) * _TIME_UNIT_PS
    return DcdHeader(frames, first * step_ps, every * step_ps, empty)


def convert_shape_matrix(chunk: md.Trajectory) -> md.Trajectory:
    """Return the chunk with CHARMM's symmetric box matrix, where mdtraj took it for lengths and angles, made a box.

    The file holds xx, xy, yy, xz, yz, zz; positions are along the axes of the symmetric matrix, so they are turned
    into those of the box that lengths and angles describe. Only boxes whose angles no box can have are changed.
    """
    lengths, angles = chunk.unitcell_lengths, chunk.unitcell_angles
    if lengths is None or is_box_possible(lengths, angles).all():
        return chunk
    matrix = _build_matrices(10.0 * lengths.astype(float), angles.astype(float))  # (F, 3, 3) [Å], rows are vectors
    if not (np.linalg.eigvalsh(matrix) > 0.0).all():
        return chunk
    chunk.unitcell_vectors = None
    edges = np.linalg.norm(matrix, axis=2)  # (F, 3)
    chunk.unitcell_lengths = (0.1 * edges).astype(np.float32)
    chunk.unitcell_angles = _measure_angles(matrix, edges).astype(np.float32)
    turn = np.linalg.solve(matrix, 10.0 * chunk.unitcell_vectors.astype(float))  # (F, 3, 3)
    chunk.xyz = np.einsum("fai,fij->faj", chunk.xyz.astype(float), turn).astype(np.float32)
    return chunk


def is_box_possible(lengths: NDArray[np.float32], angles: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell for each frame whether its lengths and angles (F, 3) [degrees] span a volume that is not next to nothing."""
    cosines = np.cos(np.radians(angles.astype(float)))
    square = 1.0 - (cosines**2).sum(axis=1) + 2.0 * cosines.prod(axis=1)  # (volume / product of the lengths)^2
    with np.errstate(invalid="ignore"):
        inside = ((angles > 0.0) & (angles < 180.0)).all(axis=1) & np.isfinite(lengths).all(axis=1)
        return np.asarray(inside & (lengths > 0.0).all(axis=1) & (square > _LEAST_SQUARE))


_LEAST_SQUARE = 1e-3  # a rhombic dodecahedron has 0.5, a box with three angles of 10 degrees 0.0007


def _build_matrices(lengths: NDArray[np.float64], angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return symmetric matrices (F, 3, 3); lengths: diagonals, angles: yz, xz, xy, as mdtraj names them."""
    matrix = np.zeros((len(lengths), 3, 3))
    matrix[:, [0, 1, 2], [0, 1, 2]] = lengths
    for column, (row, other) in enumerate(((1, 2), (0, 2), (0, 1))):
        matrix[:, row, other] = matrix[:, other, row] = angles[:, column]
    return matrix


def _measure_angles(matrix: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return alpha, beta, gamma (F, 3) [degrees] of boxes with vectors as rows and their lengths (F, 3)."""
    pairs = ((1, 2), (0, 2), (0, 1))
    cosines = [(matrix[:, i] * matrix[:, j]).sum(axis=1) / (edges[:, i] * edges[:, j]) for i, j in pairs]
    return np.degrees(np.arccos(np.clip(np.stack(cosines, axis=1), -1.0, 1.0)))
