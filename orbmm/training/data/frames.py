"""Labelled frames: many small structures of different sizes, and the NumPy archive that holds them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from orbmm.files import replace_file


@dataclass(frozen=True)
class Labels:
    """The labels of a frame. energy: [eV]; forces: (N, 3) [eV/Å]; stress: (6,) [eV/Å^3] or None."""

    energy: float
    forces: np.ndarray
    stress: np.ndarray | None = None


@dataclass(frozen=True)
class Frame:
    """One structure and, once computed, its labels.

    atomic_numbers: (N,) int64
    positions: (N, 3) float64 [Å]
    cell: (3, 3) float64 [Å], rows are lattice vectors; None without periodic boundaries
    peptide: (N,) bool, True for the atoms of the solute
    group: the trajectory that the frame came from; splits are made by group, never by frame
    energy: [eV], forces: (N, 3) [eV/Å]; None before labelling
    stress: (6,) [eV/Å^3], Voigt order xx yy zz yz xz xy, positive under tension; None where it is not known
    charge [e], multiplicity: None where they are not known
    source: file and number of the frame, for messages
    """

    atomic_numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray | None
    peptide: np.ndarray
    group: str
    energy: float | None = None
    forces: np.ndarray | None = None
    stress: np.ndarray | None = None
    charge: int | None = None
    multiplicity: int | None = None
    source: str = "a frame"

    @property
    def is_labelled(self) -> bool:
        """Return True if energy and forces are known."""
        return self.energy is not None and self.forces is not None

    @property
    def labels(self) -> Labels:
        """Return energy and forces. Raises ValueError if they are not known."""
        if self.energy is None or self.forces is None:
            raise ValueError(f"a frame of {self.group} has no energy or no forces: label it first")
        return Labels(self.energy, self.forces, self.stress)


def hash_frames(frames: Sequence[Frame]) -> str:
    """Return the sha256 of structures and labels, in their order."""
    digest = hashlib.sha256()
    for frame in frames:
        parts = (frame.atomic_numbers, frame.positions, frame.cell, frame.forces, frame.stress, frame.peptide)
        for part in parts:
            digest.update(b"absent" if part is None else np.ascontiguousarray(part).tobytes())
        digest.update(repr((frame.energy, frame.group, frame.charge, frame.multiplicity)).encode())
    return digest.hexdigest()


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
    arrays |= _list_known(frames)
    with replace_file(path) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


def _list_known(frames: Sequence[Frame]) -> dict[str, np.ndarray]:
    """Return the arrays of what only some frames know; NaN for those that do not."""
    unknown = np.full(6, np.nan)
    known = {
        "stresses": [unknown if frame.stress is None else frame.stress for frame in frames],
        "charges": [np.nan if frame.charge is None else frame.charge for frame in frames],
        "multiplicities": [np.nan if frame.multiplicity is None else frame.multiplicity for frame in frames],
    }
    arrays = {name: np.array(values, dtype=np.float64) for name, values in known.items()}
    return {name: values for name, values in arrays.items() if np.isfinite(values).any()}


def read_frames(path: str | Path) -> list[Frame]:
    """Read an archive of write_frames; nothing is unpickled."""
    with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
        return list(_unpack(archive, Path(path).name))


def _unpack(archive: np.lib.npyio.NpzFile, file: str) -> Iterator[Frame]:
    arrays = {name: archive[name] for name in archive.files}
    ends = np.cumsum(arrays["sizes"])
    for index, (size, end) in enumerate(zip(arrays["sizes"], ends, strict=True)):
        atoms = slice(end - size, end)
        cell = arrays["cells"][index]
        stress = arrays["stresses"][index] if "stresses" in arrays else np.full(6, np.nan)
        yield Frame(
            atomic_numbers=arrays["atomic_numbers"][atoms].astype(np.int64),
            positions=arrays["positions"][atoms],
            cell=cell if cell.any() else None,
            peptide=arrays["peptide"][atoms],
            group=str(arrays["groups"][index]),
            energy=float(arrays["energies"][index]) if "energies" in arrays else None,
            forces=arrays["forces"][atoms] if "forces" in arrays else None,
            stress=stress if np.isfinite(stress).all() else None,
            charge=_whole(arrays, "charges", index),
            multiplicity=_whole(arrays, "multiplicities", index),
            source=f"{file}, frame {index}",
        )


def _whole(arrays: dict[str, np.ndarray], name: str, index: int) -> int | None:
    value = arrays[name][index] if name in arrays else np.nan
    return int(value) if np.isfinite(value) else None
