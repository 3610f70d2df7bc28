"""Read labelled frames from HDF5: a group for each molecule, with the arrays of one frame or of many."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from orbmm.errors import MissingDependency

if TYPE_CHECKING:
    from ase import Atoms

NUMBERS, POSITIONS, CELL = "atomic_numbers", "positions", "cell"
_OF_ATOMS = "solute"  # the only other array that is the same in all frames


def iterate_hdf5(path: Path) -> Iterator[Atoms]:
    """Yield the frames of all groups, at any depth, that hold atomic_numbers, in the order of their names.

    atomic_numbers: (N,); positions: (N, 3) [Å] of one frame, or (F, N, 3) of F frames, and so on for all others
    An attribute of a group, such as charge, is a value of all its frames. Links to other places are not followed.
    Raises MissingDependency without h5py, ValueError for arrays that do not belong together.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingDependency(f"reading {path.suffix} files needs h5py: pip install 'orbmm[train]'") from error
    with h5py.File(path, "r") as file:
        found: dict[str, dict[str, np.ndarray]] = {}

        def note(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                place, _, key = name.rpartition("/")
                found.setdefault(place, {})[key] = item[()]

        try:
            file.visititems(note)
        except RuntimeError as error:  # of a damaged file
            raise ValueError(str(error)) from error
        for place, arrays in found.items():
            if NUMBERS in arrays:
                yield from _build_frames(place, arrays, dict(file[place or "/"].attrs))


def _build_frames(place: str, arrays: dict[str, np.ndarray], attributes: dict[str, Any]) -> Iterator[Atoms]:
    from ase import Atoms

    numbers = arrays.pop(NUMBERS)
    constant = {_OF_ATOMS: arrays.pop(_OF_ATOMS)} if _OF_ATOMS in arrays else {}
    if POSITIONS not in arrays:
        raise ValueError(f"group '{place}' has {NUMBERS} but no {POSITIONS}")
    if arrays[POSITIONS].ndim == 2:
        arrays = {name: np.asarray(values)[None] for name, values in arrays.items()}
    frames = len(arrays[POSITIONS])
    for name, values in arrays.items():
        if np.ndim(values) == 0 or len(values) != frames:
            raise ValueError(
                f"{name} of group '{place}' has the shape {np.shape(values)}, but {POSITIONS} are of {frames} frames"
            )
    for index in range(frames):
        frame = {name: values[index] for name, values in arrays.items()}
        cell = frame.pop(CELL, None)
        atoms = Atoms(numbers, frame.pop(POSITIONS), cell=cell, pbc=cell is not None)
        atoms.info |= {"group": place or "/"} | attributes
        for name, value in (frame | constant).items():
            (atoms.arrays if np.shape(value)[:1] == (len(numbers),) and np.ndim(value) else atoms.info)[name] = value
        yield atoms
