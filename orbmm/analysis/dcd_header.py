"""The length and times in the header of a DCD file, which mdtraj does not pass on."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from orbmm.errors import AnalysisError

_HEADER = struct.Struct("<i4s9if")  # record length, "CORD", frames, first step, steps per frame, ..., time step
_TIME_UNIT_PS = 0.04888821  # CHARMM's, in which the time step is stated


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
