"""The trajectory, as XTC or DCD: unwrapped coordinates, frame 0 is the start of production."""

from __future__ import annotations

import errno
import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from openmm import Vec3, app

from orbmm.errors import RunError
from orbmm.simulation.moment import Moment

_XTC_HEADER = 92  # bytes: magic, atoms, step, time, box; atoms, precision, range, small index, packed length
_XTC_UNCOMPRESSED = 9  # so few atoms are written as plain numbers


@dataclass(frozen=True)
class FrameTiming:
    """Steps between two frames, and the length of a step [ps]."""

    steps_between: int
    timestep_ps: float


class XtcWriter:
    """Gromacs' compressed format, 0.001 nm."""

    needs_energy = False
    needs_confidence = False

    def __init__(
        self, path: Path, topology: app.Topology, timing: FrameTiming, frames: int, atoms: np.ndarray | None = None
    ) -> None:
        """frames: how many the file already holds, 0 begins a new one; atoms: (A,), those of the topology, None for all"""
        self.path = path
        self.steps_between = timing.steps_between
        self._atoms = slice(None) if atoms is None else atoms
        self._file = app.XTCFile(str(path), topology, timing.timestep_ps, 0, timing.steps_between, append=frames > 0)

    def report(self, moment: Moment) -> None:
        """Append one frame; the file is closed after each, so that a kill can tear only the last."""
        end = self.path.stat().st_size if self.path.exists() else 0
        try:
            self._file.writeModel(moment.positions[self._atoms], periodicBoxVectors=_list_vectors(moment.box))
        except (RuntimeError, ValueError) as error:
            raise RunError(f"{self.path}: the frame of step {moment.step} cannot be written ({error})") from error
        if not _ends_with_whole_frame(self.path, end):  # the writer does not say when the disk is full
            raise OSError(errno.ENOSPC, "the frame came out incomplete, as on a full disk", str(self.path))


class DcdWriter:
    """CHARMM's format, plain float32."""

    needs_energy = False
    needs_confidence = False

    def __init__(
        self, path: Path, topology: app.Topology, timing: FrameTiming, frames: int, atoms: np.ndarray | None = None
    ) -> None:
        """frames: how many the file already holds, 0 begins a new one; atoms: (A,), those of the topology, None for all"""
        self.path = path
        self.steps_between = timing.steps_between
        self._atoms = slice(None) if atoms is None else atoms
        self._topology = topology
        self._timing = timing
        if frames:
            self._correct_header(frames)
        else:
            with path.open("wb") as stream:
                self._open_file(stream, append=False)

    def report(self, moment: Moment) -> None:
        """Append one frame; the file is closed after each, so that a kill can tear only the last."""
        with self.path.open("r+b") as stream:
            self._open_file(stream, append=True).writeModel(
                moment.positions[self._atoms], periodicBoxVectors=_list_vectors(moment.box)
            )

    def _open_file(self, stream: IO[bytes], append: bool) -> app.DCDFile:
        return app.DCDFile(stream, self._topology, self._timing.timestep_ps, 0, self.steps_between, append)

    def _correct_header(self, frames: int) -> None:
        """Tell a file that was cut back how many frames it holds; the format counts them at byte 8."""
        with self.path.open("r+b") as stream:
            stream.seek(8)
            stream.write(struct.pack("<i", frames))


def _ends_with_whole_frame(path: Path, start: int) -> bool:
    """Whether one whole XTC frame, by the length in its own header, lies between `start` and the end of the file."""
    with path.open("rb") as stream:
        stream.seek(start)
        header = stream.read(_XTC_HEADER)
        length = stream.seek(0, io.SEEK_END) - start
    if len(header) < _XTC_HEADER:
        return False
    (atoms,) = struct.unpack_from(">i", header, 4)
    if atoms <= _XTC_UNCOMPRESSED:
        return length == 56 + 12 * atoms
    (packed,) = struct.unpack_from(">i", header, _XTC_HEADER - 4)
    return length == _XTC_HEADER + (packed + 3) // 4 * 4


def _list_vectors(box: np.ndarray | None) -> list[Vec3] | None:
    return None if box is None else [Vec3(*row) for row in box]


TRAJECTORY_WRITERS: dict[str, type[XtcWriter | DcdWriter]] = {"xtc": XtcWriter, "dcd": DcdWriter}
