"""Read what mdtraj does not tell of a trajectory file: the header of a DCD file, and the number of whole frames."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mdtraj as md

from orbmm.errors import AnalysisError
from orbmm.run_files.xtc import HEADER_BYTES, measure_frame

_HEADER = struct.Struct("<i4s9if")  # record length, "CORD", frames, first step, steps per frame, ..., time step
_TIME_UNIT_PS = 0.04888821  # CHARMM's, in which the time step is stated
READING_ERRORS = (OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError)  # of mdtraj's readers


@dataclass(frozen=True)
class DcdHeader:
    """frames: how many were written. first_ps, frame_ps: time of the first and between two [ps]."""

    frames: int
    first_ps: float
    frame_ps: float


def read_dcd_header(path: Path) -> DcdHeader:
    """The header of a little-endian DCD file. Raises AnalysisError when the file does not start with one."""
    with path.open("rb") as file:
        head = file.read(_HEADER.size)
    if len(head) < _HEADER.size or head[4:8] != b"CORD":
        raise AnalysisError(f"{path}: does not start as a DCD file does; it is torn or of another format")
    _, _, frames, first_step, steps_per_frame, *_, timestep = _HEADER.unpack(head)
    step_ps = timestep * _TIME_UNIT_PS
    return DcdHeader(frames, first_step * step_ps, steps_per_frame * step_ps)


@contextmanager
def silence_c_readers() -> Iterator[None]:
    """Send the process's standard output and error to nowhere while the block runs."""
    kept = [os.dup(stream) for stream in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for stream in (1, 2):
            os.dup2(nowhere, stream)
        yield
    finally:
        for stream, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, stream)
            os.close(copy)
        os.close(nowhere)


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
