"""Write the trajectory as XTC or DCD: unwrapped coordinates; frame 0 is the start of production."""

from __future__ import annotations

import errno
import io
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from openmm import Vec3, app

from orbmm.errors import RunError
from orbmm.files import open_regular, require_regular
from orbmm.run_files.xtc import HEADER_BYTES, count_atoms, measure_frame
from orbmm.simulation.dynamics.frame import Frame

_DCD_FRAMES = slice(8, 12)  # bytes of the header that count the frames


@dataclass(frozen=True)
class FrameTiming:
    """Steps between two frames, and the length of a step [ps]."""

    steps_between: int
    timestep_ps: float


class XtcWriter:
    """Writer of the compressed format of Gromacs, with a resolution of 0.001 nm."""

    needs_energy = False
    needs_confidence = False

    def __init__(
        self, path: Path, topology: app.Topology, timing: FrameTiming, frames: int, atoms: np.ndarray | None = None
    ) -> None:
        """Open the file.

        frames: number of frames that the file holds; 0 starts a new file
        atoms: (A,) indices of the atoms of the topology in a frame; None for all
        """
        self.path = path
        self.steps_between = timing.steps_between
        self._atoms = slice(None) if atoms is None else atoms
        try:
            self._file = app.XTCFile(str(path), topology, timing.timestep_ps, 0, timing.steps_between, frames > 0)
        except (RuntimeError, ValueError) as error:  # of a file whose frames OpenMM cannot count
            raise RunError(f"{path} is damaged ({' '.join(str(error).split())}); restore it from a copy") from error

    def report(self, frame: Frame) -> None:
        """Append one frame and close the file, so that a kill can damage only the last frame."""
        if not os.path.lexists(self.path):
            open_regular(self.path, "ab").close()  # whose error has a reason, unlike that of the writer
        end = require_regular(self.path)
        try:
            self._file.writeModel(frame.positions[self._atoms], periodicBoxVectors=_list_vectors(frame.box))
        except (RuntimeError, ValueError) as error:
            raise RunError(f"{self.path}: the frame of step {frame.step} cannot be written ({error})") from error
        if not _ends_with_whole_frame(self.path, end):  # the writer raises no error when the disk is full
            raise OSError(errno.ENOSPC, "the frame is incomplete, as on a full disk", str(self.path))


class DcdWriter:
    """Writer of the format of CHARMM, with uncompressed float32 coordinates."""

    needs_energy = False
    needs_confidence = False

    def __init__(
        self, path: Path, topology: app.Topology, timing: FrameTiming, frames: int, atoms: np.ndarray | None = None
    ) -> None:
        """Write the header of a new file, or correct that of an existing one.

        frames: number of frames that the file holds; 0 starts a new file
        atoms: (A,) indices of the atoms of the topology in a frame; None for all
        """
        self.path = path
        self.steps_between = timing.steps_between
        self._atoms = slice(None) if atoms is None else atoms
        self._topology = topology
        self._timing = timing
        if frames:
            self._correct_header(frames)
        else:
            with open_regular(path, "wb") as stream:
                self._open_file(stream, append=False)

    def report(self, frame: Frame) -> None:
        """Append one frame and close the file, so that a kill can damage only the last frame."""
        with open_regular(self.path, "r+b") as stream:
            self._open_file(stream, append=True).writeModel(
                frame.positions[self._atoms], periodicBoxVectors=_list_vectors(frame.box)
            )

    def _open_file(self, stream: IO[bytes], append: bool) -> app.DCDFile:
        return app.DCDFile(stream, self._topology, self._timing.timestep_ps, 0, self.steps_between, append)

    def _correct_header(self, frames: int) -> None:
        """Write the number of frames into the header of a file that was cut back; it is at byte 8."""
        with open_regular(self.path, "r+b") as stream:
            stream.seek(8)
            stream.write(struct.pack("<i", frames))


def _ends_with_whole_frame(path: Path, start: int) -> bool:
    """Return whether there is exactly one complete XTC frame between byte `start` and the end of the file."""
    with open_regular(path, "rb") as stream:
        stream.seek(start)
        header = stream.read(HEADER_BYTES)
        length = stream.seek(0, io.SEEK_END) - start
    return measure_frame(header) == length


def _list_vectors(box: np.ndarray | None) -> list[Vec3] | None:
    return None if box is None else [Vec3(*row) for row in box]


TRAJECTORY_WRITERS: dict[str, type[XtcWriter | DcdWriter]] = {"xtc": XtcWriter, "dcd": DcdWriter}


def count_frames(path: Path, atoms: int) -> int:
    """Return 0, 1 or 2 for no complete frame, one, or more."""
    with open_regular(path, "rb") as stream:
        size, head = os.fstat(stream.fileno()).st_size, stream.read(HEADER_BYTES)
    if path.suffix == ".dcd":
        whole = len(head) == HEADER_BYTES
        return max(0, min(2, struct.unpack("<i", head[_DCD_FRAMES])[0])) if whole else 0
    frame = measure_frame(head)
    if frame is None:
        return 2 if size >= HEADER_BYTES else 0
    return 2 if size > frame else int(size == frame)


def check_frames(path: Path, atoms: int, size: int) -> None:
    """Check by their headers that a file begins with frames of so many atoms, which end at a length [bytes].

    Raises RunError if it does not; the coordinates are not read.
    """
    with open_regular(path, "rb") as stream:
        fits = _holds_dcd(stream, atoms) if path.suffix == ".dcd" else _holds_xtc(stream, atoms, size)
    if not fits:
        raise RunError(
            f"{path} is no trajectory of this run: it is damaged, or its frames are not of {atoms} atoms; "
            "restore it from a copy, or start a new run in another folder"
        )


def _holds_dcd(stream: IO[bytes], atoms: int) -> bool:
    if stream.read(8) != struct.pack("<i4s", 84, b"CORD"):
        return False
    stream.seek(4 + 84 + 4)
    (title,) = struct.unpack("<i", stream.read(4).ljust(4, b"\0"))
    stream.seek(max(0, title) + 4 + 4, io.SEEK_CUR)
    return stream.read(4) == struct.pack("<i", atoms)


def _holds_xtc(stream: IO[bytes], atoms: int, size: int) -> bool:
    end = 0
    while end < size:
        stream.seek(end)
        header = stream.read(HEADER_BYTES)
        length = measure_frame(header)
        if length is None or count_atoms(header) != atoms:
            return False
        end += length
    return end == size
