"""Frames in chunks, so that memory does not grow with the length of a run: from a file, or from memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from orbmm.analysis.reading.formats import READING_ERRORS, DcdHeader, count_readable, read_dcd_header, silence_c_readers
from orbmm.errors import AnalysisError

_ATOMS_PER_CHUNK = 2_000_000  # 24 MB of coordinates
_PYTABLES_SUFFIXES = (".h5", ".hdf5", ".lh5")


@dataclass(frozen=True)
class TrajectoryFile:
    """A trajectory on disk, read anew as often as asked.

    path: any format that mdtraj reads in chunks (XTC, DCD, TRR, NetCDF, ...).
    topology: of every atom in the file.
    periodic: whether every frame must have a box.
    most: how many frames to read, of a file that still grows; None reads all, and a torn last frame is an error.
    """

    path: Path
    topology: md.Topology
    periodic: bool
    most: int | None = None

    def read_chunks(self, atoms: NDArray[np.int64] | None = None) -> Iterator[md.Trajectory]:
        """Chunk after chunk, of all atoms or of some.

        Raises AnalysisError: file missing, empty or torn, other atoms than the topology, coordinates that are not
        finite, a box missing.
        """
        refuse_unpickling_format(self.path)
        if not self.path.is_file() or self.path.stat().st_size == 0:
            raise AnalysisError(f"{self.path}: no such trajectory, or an empty file; give one with frames in it")
        header = self._read_dcd_header()
        size = max(1, _ATOMS_PER_CHUNK // self.topology.n_atoms)
        done = 0
        try:
            for chunk in _read_quietly(self._load(size, atoms)):
                self._check(chunk, done)
                if header is not None:
                    chunk.time = header.first_ps + header.frame_ps * np.arange(done, done + chunk.n_frames)
                yield chunk
                done += chunk.n_frames
        except READING_ERRORS as error:
            raise AnalysisError(self._explain(error)) from error
        if done == 0:
            raise AnalysisError(f"{self.path}: holds no frames; the run stopped before its first one")

    def _load(self, size: int, atoms: NDArray[np.int64] | None) -> Iterator[md.Trajectory]:
        if self.most is None:
            yield from md.iterload(str(self.path), chunk=size, top=self.topology, atom_indices=atoms)
            return
        left = self.most
        with md.open(str(self.path)) as file:
            while left > 0:
                chunk = file.read_as_traj(self.topology, n_frames=min(size, left), atom_indices=atoms)
                left = left - chunk.n_frames if chunk.n_frames else 0
                yield chunk

    def _check(self, chunk: md.Trajectory, done: int) -> None:
        broken = ~np.isfinite(chunk.xyz).all(axis=(1, 2))
        if broken.any():
            frame = done + int(np.argmax(broken)) + 1
            raise AnalysisError(
                f"{self.path}: frame {frame} has coordinates that are not finite; the run went wrong there"
            )
        if self.periodic and chunk.unitcell_lengths is None:
            raise AnalysisError(
                f"{self.path}: the box is missing, though the topology has one; write frames with a box"
            )

    def _read_dcd_header(self) -> DcdHeader | None:
        """The header of a DCD file, whose times mdtraj does not pass on; None for other formats."""
        if self.path.suffix != ".dcd":
            return None
        header = read_dcd_header(self.path)
        with silence_c_readers(), md.open(str(self.path)) as file:
            whole = len(file)
        if whole < header.frames and self.most is None:  # mdtraj leaves a torn frame out without a word
            raise AnalysisError(self._torn(whole))
        return header

    def _explain(self, error: Exception) -> str:
        """The sentence for a file that mdtraj could not read, from what can be read of it."""
        whole, atoms = count_readable(self.path)
        if whole == 0:
            return f"{self.path}: cannot be read as a trajectory ({(str(error).splitlines() or ['no reason'])[0]})"
        if atoms != self.topology.n_atoms:
            expected = self.topology.n_atoms
            return (
                f"{self.path}: has {atoms} atoms a frame, but the topology {expected}; give those that belong together"
            )
        return self._torn(whole)

    def _torn(self, whole: int) -> str:
        return f"{self.path}: torn after frame {whole}; keep the {whole} whole frames (mdconvert) or resume the run"


def refuse_unpickling_format(path: Path) -> None:
    """Raise AnalysisError for HDF5: mdtraj reads it with PyTables, which unpickles attributes and so runs code."""
    if path.suffix.lower() in _PYTABLES_SUFFIXES:
        raise AnalysisError(
            f"{path}: HDF5 is not read, since its reader can run code that the file holds; "
            "if you trust the file, convert it with mdconvert to XTC or DCD"
        )


Frames: TypeAlias = md.Trajectory | TrajectoryFile


def read_chunks(frames: Frames, atoms: NDArray[np.int64] | None = None) -> Iterator[md.Trajectory]:
    """The frames in chunks, of all atoms or of some, whether they lie in a file or in memory."""
    if isinstance(frames, TrajectoryFile):
        yield from frames.read_chunks(atoms)
        return
    if frames.n_frames == 0:
        raise AnalysisError("the trajectory holds no frames; give one with at least one frame")
    size = max(1, _ATOMS_PER_CHUNK // frames.n_atoms)
    for first in range(0, frames.n_frames, size):
        chunk = frames[first : first + size]
        yield chunk if atoms is None else chunk.atom_slice(atoms)


def read_times(chunk: md.Trajectory) -> NDArray[np.float64]:
    """Times of frames (F,) [ps], to the femtosecond's thousandth: file formats keep them as float32."""
    return np.round(chunk.time.astype(float), 6)


def read_boxes(chunk: md.Trajectory) -> list[NDArray[np.float64] | None]:
    """The box of each frame, (3, 3) rows [nm], None without one; mdtraj makes all of them each time it is asked."""
    vectors = chunk.unitcell_vectors
    return [None] * chunk.n_frames if vectors is None else list(vectors.astype(float))


def iterate_frames(chunk: md.Trajectory) -> Iterator[tuple[float, NDArray[np.float64], NDArray[np.float64] | None]]:
    """Time [ps], positions (A, 3) [nm] and box (3, 3) [nm] or None of each frame."""
    for time, positions, box in zip(read_times(chunk).tolist(), chunk.xyz, read_boxes(chunk), strict=True):
        yield time, positions.astype(float), box


def _read_quietly(chunks: Iterator[md.Trajectory]) -> Iterator[md.Trajectory]:
    while True:
        with silence_c_readers():
            chunk = next(chunks, None)
        if chunk is None:
            return
        yield chunk
