"""Labelled frames: many small structures of different sizes in one NumPy archive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from orbmm.files import replace_file


@dataclass(frozen=True)
class Labels:
    """The labels of a frame. energy: [eV]; forces: (N, 3) [eV/Å]."""

    energy: float
    forces: np.ndarray


@dataclass(frozen=True)
class Frame:
    """One structure and, once computed, its labels.

    atomic_numbers: (N,) int64
    positions: (N, 3) float64 [Å]
    cell: (3, 3) float64 [Å], rows are lattice vectors; None without periodic boundaries
    peptide: (N,) bool, True for the atoms of the solute
    group: the trajectory that the frame came from; splits are made by group, never by frame
    energy: [eV], forces: (N, 3) [eV/Å]; None before labelling
    """

    atomic_numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray | None
    peptide: np.ndarray
    group: str
    energy: float | None = None
    forces: np.ndarray | None = None

    @property
    def is_labelled(self) -> bool:
        """Return True if energy and forces are known."""
        return self.energy is not None and self.forces is not None

    @property
    def labels(self) -> Labels:
        """Return energy and forces. Raises ValueError if they are not known."""
        if self.energy is None or self.forces is None:
            raise ValueError(f"a frame of {self.group} has no energy or no forces: label it first")
        return Labels(self.energy, self.forces)


def write_frames(path: str | Path, frames: Sequence[Frame]) -> None:
    """Write frames, labelled or not, as one compressed archive; an incomplete file never appears."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    labelled = [frame.is_labelled for frame in frames]
    nothing = np.zeros((3, 3))
    arrays: dict[str, Any] = {
        "sizes": np.array([len(frame.atomic_numbers) for frame in frames], dtype=np.int64),
        "atomic_numbers": np.concatenate([frame.atomic_numbers for frame in frames]).astype(np.uint8),
        "positions": np.concatenate([frame.positions for frame in frames]),
        "cells": np.stack([nothing if frame.cell is None else frame.cell for frame in frames]),
        "peptide": np.concatenate([frame.peptide for frame in frames]),
        "groups": np.array([frame.group for frame in frames]),
    }
    if all(labelled):
        arrays["energies"] = np.array([frame.energy for frame in frames])
        arrays["forces"] = np.concatenate([frame.forces for frame in frames])
    elif any(labelled):
        raise ValueError("frames are partly labelled: label all of them, or write two files")
    with replace_file(path) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


def read_frames(path: str | Path) -> list[Frame]:
    """Read an archive of write_frames; nothing is unpickled."""
    with np.load(path, allow_pickle=False) as archive:
        return list(_unpack(archive))


def _unpack(archive: np.lib.npyio.NpzFile) -> Iterator[Frame]:
    arrays = {name: archive[name] for name in archive.files}
    ends = np.cumsum(arrays["sizes"])
    for index, (size, end) in enumerate(zip(arrays["sizes"], ends, strict=True)):
        atoms = slice(end - size, end)
        cell = arrays["cells"][index]
        yield Frame(
            atomic_numbers=arrays["atomic_numbers"][atoms].astype(np.int64),
            positions=arrays["positions"][atoms],
            cell=cell if cell.any() else None,
            peptide=arrays["peptide"][atoms],
            group=str(arrays["groups"][index]),
            energy=float(arrays["energies"][index]) if "energies" in arrays else None,
            forces=arrays["forces"][atoms] if "forces" in arrays else None,
        )
