"""Checks of every chunk of frames: atoms, positions and box are what a simulation can have."""

from __future__ import annotations

from pathlib import Path

import mdtraj as md
import numpy as np

from orbmm.analysis.reading.dcd import is_box_possible
from orbmm.errors import AnalysisError

_MOST_ATOMS_PER_NM3 = 300.0  # water has 100, diamond 176
_FEW_ATOMS = 3  # whose box may be as small as a test likes


def check_atoms(path: Path, found: int, expected: int) -> None:
    """Raise AnalysisError unless a frame has as many atoms as the topology."""
    if found != expected:
        raise AnalysisError(
            f"{path}: has {found} atoms a frame, but the topology {expected}; give those that belong together"
        )


def check_chunk(path: Path, chunk: md.Trajectory, done: int, periodic: bool, atoms: int) -> None:
    """Raise AnalysisError for positions that are not finite, and for a box that is missing or cannot be.

    done: frames before the chunk. periodic: whether every frame must have a box. atoms: in the whole frame.
    """
    broken = ~np.isfinite(chunk.xyz).all(axis=(1, 2))
    if broken.any():
        frame = done + int(np.argmax(broken)) + 1
        raise AnalysisError(f"{path}: frame {frame} has coordinates that are not finite; the run went wrong there")
    lengths, angles = chunk.unitcell_lengths, chunk.unitcell_angles
    if lengths is None or angles is None:
        if periodic:
            raise AnalysisError(f"{path}: the box is missing, though the topology has one; write frames with a box")
        return
    flat = ~is_box_possible(lengths, angles)
    if flat.any():
        frame = int(np.argmax(flat))
        raise AnalysisError(
            f"{path}: the box of frame {done + frame + 1} has no volume (lengths {_list(lengths[frame])} nm, angles "
            f"{_list(angles[frame])}°); write the frames again with their box"
        )
    _check_room(path, chunk, done, atoms)


def _check_room(path: Path, chunk: md.Trajectory, done: int, atoms: int) -> None:
    volumes = chunk.unitcell_volumes.astype(float)
    tight = atoms / volumes > _MOST_ATOMS_PER_NM3
    if atoms > _FEW_ATOMS and tight.any():
        frame = int(np.argmax(tight))
        raise AnalysisError(
            f"{path}: the box of frame {done + frame + 1} has {volumes[frame]:.3g} nm³, too small for {atoms} atoms; "
            "are its lengths in another unit?"
        )


def _list(numbers: np.ndarray) -> str:
    return ", ".join(f"{number:.4g}" for number in numbers.tolist())
