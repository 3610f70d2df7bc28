"""Write the topology, and the trajectory as XTC or DCD: unwrapped coordinates; frame 0 is the start of production."""

from __future__ import annotations

import copy
import errno
import io
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from openmm import Vec3, app, unit

from orbmm.errors import RunError
from orbmm.files import open_regular, require_regular, write_file
from orbmm.run_files.layout import RunFolder
from orbmm.run_files.xtc import HEADER_BYTES, measure_frame
from orbmm.simulation.dynamics.frame import Frame, State
from orbmm.simulation.start.selection import select_atoms

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
        self._file = app.XTCFile(str(path), topology, timing.timestep_ps, 0, timing.steps_between, append=frames > 0)

    def report(self, frame: Frame) -> None:
        """Append one frame and close the file, so that a kill can damage only the last frame."""
        end = require_regular(self.path) if os.path.lexists(self.path) else 0
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


def write_topologies(folder: RunFolder, topology: app.Topology, frame_atoms: str, state: State) -> None:
    """Write the topology files that are needed to read the trajectory, with the current box."""
    topology = copy.copy(topology)
    if state.box is not None:
        topology.setPeriodicBoxVectors(state.box * unit.nanometer)
    _write(folder.topology, topology, state.positions)
    if frame_atoms != "all":
        atoms = select_atoms(topology, frame_atoms)
        _write(folder.frame_topology, keep_atoms(topology, atoms), state.positions[atoms])


def keep_atoms(topology: app.Topology, atoms: np.ndarray) -> app.Topology:
    """Return the topology of only some atoms (A,), in their order."""
    modeller = app.Modeller(topology, np.zeros((topology.getNumAtoms(), 3)) * unit.nanometer)
    kept = set(atoms.tolist())
    modeller.delete([atom for atom in topology.atoms() if atom.index not in kept])
    return modeller.topology


def _write(path: Path, topology: app.Topology, positions: np.ndarray) -> None:
    text = io.StringIO()
    app.PDBFile.writeFile(topology, positions * unit.nanometer, text, keepIds=True)
    write_file(path, text.getvalue().encode())
