"""Frames in chunks, so that memory does not grow with the length of a run: from a file, or from memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import mdtraj as md
import numpy as np
from numpy.typing import NDArray

from orbmm.analysis.reading.checks import check_atoms, check_chunk
from orbmm.analysis.reading.dcd import convert_shape_matrix, read_dcd_header
from orbmm.analysis.reading.formats import count_atoms, count_readable, find_scaled
from orbmm.analysis.reading.opening import (
    READING_ERRORS,
    explain_failure,
    find_suffix,
    lend_plain_path,
    open_trajectory,
    refuse_damaged_text,
    refuse_unknown_format,
    refuse_unpickling_format,
    silence_c_readers,
)
from orbmm.analysis.reading.trr import walk_trr
from orbmm.errors import AnalysisError, ConvertBareErrors

if TYPE_CHECKING:
    from orbmm.analysis.pieces import Workers

_ATOMS_PER_CHUNK = 2_000_000  # 24 MB of coordinates
_WITH_TOPOLOGY = (".gro", ".arc")  # read in chunks
_AT_ONCE = (".pdb", ".pdb.gz", ".cif", ".cif.gz", ".mmcif", ".mmcif.gz", ".pdbx", ".pdbx.gz")
_ONE_FRAME = (".ncrst", ".rst7", ".restrt", ".inpcrd")


@dataclass(frozen=True)
class TrajectoryFile:
    """A trajectory on disk, read anew as often as asked.

    path: any format that mdtraj reads in chunks (XTC, DCD, TRR, NetCDF, ...).
    topology: of every atom in the file.
    periodic: whether every frame must have a box.
    most: how many frames to read, of a file that still grows; None reads all, and a torn last frame is an error.
    frame_ps: time between two frames, in place of what the file says [ps].
    timed: whether times are known; otherwise the frames are numbered from 1, and the numbers stand in for times.
    workers: that share the frames of costly observables; None for this process.
    """

    path: Path
    topology: md.Topology
    periodic: bool
    most: int | None = None
    frame_ps: float | None = None
    timed: bool = True
    workers: Workers | None = None

    def read_chunks(self, atoms: NDArray[np.int64] | None = None) -> Iterator[md.Trajectory]:
        """Return chunk after chunk, of all atoms or of some.

        Raises AnalysisError: file missing, empty or torn, other atoms than the topology, coordinates that are not
        finite, a box missing or without a volume.
        """
        self._check_file()
        done = 0
        try:
            if atoms is not None and find_suffix(self.path) not in (*_AT_ONCE, *_WITH_TOPOLOGY, *_ONE_FRAME):
                check_atoms(self.path, count_atoms(self.path, self.topology.n_atoms), self.topology.n_atoms)
            for chunk in self._correct(_read_quietly(self._load(atoms))):
                check_chunk(self.path, chunk, done, self.periodic, self.topology.n_atoms)
                yield self._date(chunk, done)
                done += chunk.n_frames
        except READING_ERRORS as error:
            raise AnalysisError(self._explain(error)) from error
        if done == 0:
            raise AnalysisError(f"{self.path}: holds no frames; the run stopped before its first one")

    def _check_file(self) -> None:
        refuse_unpickling_format(self.path)
        if not self.path.is_file() or self.path.stat().st_size == 0:
            raise AnalysisError(f"{self.path}: no such trajectory, or an empty file; give one with frames in it")
        refuse_unknown_format(self.path)
        refuse_damaged_text(self.path, "trajectory")
        if find_suffix(self.path) == ".trr":
            self._check_trr()
        if find_suffix(self.path) != ".dcd":
            return
        header = read_dcd_header(self.path)
        if header.empty:
            raise AnalysisError(f"{self.path}: holds no frames; the run stopped before its first one")
        try:
            with open_trajectory(self.path) as file:
                whole = len(file)
        except READING_ERRORS as error:
            raise AnalysisError(self._explain(error)) from error
        if whole < header.frames and self.most is None:  # mdtraj leaves a torn frame out without a word
            raise AnalysisError(self._torn(whole))

    def _check_trr(self) -> None:
        """Raise AnalysisError unless every header is one that mdtraj's reader in C can follow."""
        ends, size = [0], self.path.stat().st_size
        for frame in walk_trr(self.path):
            check_atoms(self.path, frame.atoms, self.topology.n_atoms)
            ends.append(frame.end)
        if len(ends) == 1:
            raise AnalysisError(f"{self.path}: cannot be read as a trajectory; is it whole?")
        if ends[-1] < size and self.most is None:
            raise AnalysisError(self._torn(len(ends) - 1))

    def _load(self, atoms: NDArray[np.int64] | None) -> Iterator[md.Trajectory]:
        suffix, size = find_suffix(self.path), max(1, _ATOMS_PER_CHUNK // self.topology.n_atoms)
        if suffix in (*_AT_ONCE, *_ONE_FRAME):
            top = None if suffix in _AT_ONCE else self.topology
            with lend_plain_path(self.path) as plain, ConvertBareErrors():
                whole = md.load(plain) if top is None else md.load(plain, top=top)
            chunks = (whole[first : first + size] for first in range(0, whole.n_frames, size))
            yield from self._pick(chunks, atoms)
            return
        with open_trajectory(self.path, self.topology.n_atoms) as file:
            if suffix in _WITH_TOPOLOGY:
                yield from self._pick(iter(lambda: file.read_as_traj(n_frames=size), None), atoms)
                return
            left = self.most
            while left is None or left > 0:
                wanted = size if left is None else min(size, left)
                chunk = file.read_as_traj(self.topology, n_frames=wanted, atom_indices=atoms)
                if chunk.n_frames == 0:
                    return
                left = None if left is None else left - chunk.n_frames
                yield chunk

    def _pick(self, chunks: Iterator[md.Trajectory], atoms: NDArray[np.int64] | None) -> Iterator[md.Trajectory]:
        """Yield the chosen atoms of chunks that bring a topology, with that of the start."""
        topology = self.topology if atoms is None else self.topology.subset(atoms)
        for chunk in chunks:
            if chunk.n_frames == 0:
                return
            check_atoms(self.path, chunk.n_atoms, self.topology.n_atoms)
            xyz = chunk.xyz if atoms is None else chunk.xyz[:, atoms]
            yield md.Trajectory(xyz, topology, chunk.time, chunk.unitcell_lengths, chunk.unitcell_angles)

    def _correct(self, chunks: Iterator[md.Trajectory]) -> Iterator[md.Trajectory]:
        """Yield the chunks with what mdtraj reads amiss put right.

        That is: TRR frames without positions, whose numbers are no coordinates; fractions of the box in LAMMPS dumps;
        CHARMM's box matrix in DCD files.
        """
        suffix = find_suffix(self.path)
        held = np.array([frame.positions for frame in walk_trr(self.path)]) if suffix == ".trr" else np.ones(0, bool)
        scaled, done = find_scaled(self.path), 0
        for chunk in chunks:
            kept = held[done : done + chunk.n_frames]
            done += chunk.n_frames
            if not kept.all():
                chunk = chunk.slice(np.flatnonzero(kept), copy=False)
            if scaled and chunk.unitcell_vectors is not None:
                chunk.xyz = np.einsum("fai,fij->faj", 10.0 * chunk.xyz, chunk.unitcell_vectors)  # read as angstrom
            if chunk.n_frames:
                yield convert_shape_matrix(chunk) if suffix == ".dcd" else chunk

    def _date(self, chunk: md.Trajectory, done: int) -> md.Trajectory:
        """Return the chunk with its times [ps], or with the numbers of its frames where the times are not known."""
        numbers = np.arange(done, done + chunk.n_frames)
        if self.frame_ps is not None:
            chunk.time = self.frame_ps * numbers
        elif not self.timed:
            chunk.time = numbers + 1.0
        elif find_suffix(self.path) == ".dcd":  # whose times mdtraj does not pass on
            header = read_dcd_header(self.path)
            if header.first_ps is not None and header.frame_ps is not None:
                chunk.time = header.first_ps + header.frame_ps * numbers
        return chunk

    def _explain(self, error: Exception) -> str:
        """Return the sentence for a file that mdtraj could not read, from what can be read of it."""
        whole, atoms = count_readable(self.path, self.topology.n_atoms)
        if whole == 0:
            return f"{self.path}: cannot be read as a trajectory{explain_failure(error, self.path)}; is it whole?"
        if atoms != self.topology.n_atoms:
            expected = self.topology.n_atoms
            return (
                f"{self.path}: has {atoms} atoms a frame, but the topology {expected}; give those that belong together"
            )
        return self._torn(whole)

    def _torn(self, whole: int) -> str:
        return (
            f"{self.path}: torn after frame {whole}; keep the {whole} whole frames (with the program that wrote them) "
            "or resume the run"
        )


Frames: TypeAlias = md.Trajectory | TrajectoryFile


def read_chunks(frames: Frames, atoms: NDArray[np.int64] | None = None) -> Iterator[md.Trajectory]:
    """Return the frames in chunks, of all atoms or of some, whether they lie in a file or in memory."""
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
    """Return times of frames (F,) [ps], to the femtosecond's thousandth: file formats keep them as float32."""
    return np.round(chunk.time.astype(float), 6)


def read_boxes(chunk: md.Trajectory) -> list[NDArray[np.float64] | None]:
    """Return the box of each frame, (3, 3) rows [nm], None without one; mdtraj makes all of them each time it is
    asked.
    """
    vectors = chunk.unitcell_vectors
    return [None] * chunk.n_frames if vectors is None else list(vectors.astype(float))


def iterate_frames(chunk: md.Trajectory) -> Iterator[tuple[float, NDArray[np.float64], NDArray[np.float64] | None]]:
    """Return time [ps], positions (A, 3) [nm] and box (3, 3) [nm] or None of each frame."""
    for time, positions, box in zip(read_times(chunk).tolist(), chunk.xyz, read_boxes(chunk), strict=True):
        yield time, positions.astype(float), box


def _read_quietly(chunks: Iterator[md.Trajectory]) -> Iterator[md.Trajectory]:
    while True:
        with silence_c_readers():
            chunk = next(chunks, None)
        if chunk is None:
            return
        yield chunk
