"""Write frames in the formats that people have: our archive, or extended XYZ, which other programs read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from orbmm.errors import MissingDependency, TrainingError
from orbmm.files import make_folder, replace_file
from orbmm.training.data.frames import Frame, write_frames

if TYPE_CHECKING:
    from ase import Atoms

SUFFIXES = (".npz", ".extxyz")


def check_target(path: Path) -> None:
    """Check that frames can be written to a path. Raises TrainingError and MissingDependency."""
    if path.suffix not in SUFFIXES:
        raise TrainingError(f"{path}: frames are written as {' or '.join(SUFFIXES)}, not as '{path.suffix}'")
    if path.exists():
        raise TrainingError(f"{path}: exists already: name another file, or move it away")
    if path.suffix == ".extxyz":
        try:
            import ase.io  # noqa: F401
        except ImportError as error:
            raise MissingDependency("writing .extxyz needs ASE: pip install 'orbmm[train]'") from error


def write_any(path: Path, frames: Sequence[Frame]) -> None:
    """Write frames, with their labels if they have any, as .npz or .extxyz; an incomplete file never appears."""
    if path.suffix == ".npz":
        write_frames(path, frames)
        return
    import ase.io

    make_folder(path.parent)
    with replace_file(path) as partial:
        ase.io.write(str(partial), [_convert(frame) for frame in frames], format="extxyz")


def _convert(frame: Frame) -> Atoms:
    """Return a frame as atoms of ASE, whose units [eV, Å] and sign of the stress are ours."""
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    atoms = Atoms(frame.atomic_numbers, frame.positions, cell=frame.cell, pbc=frame.cell is not None)
    atoms.arrays["solute"] = frame.peptide
    known = {"group": frame.group, "charge": frame.charge, "multiplicity": frame.multiplicity}
    atoms.info |= {name: value for name, value in known.items() if value is not None}
    if frame.is_labelled:
        labels = {"energy": frame.energy, "forces": frame.forces, "stress": frame.stress}
        found = {name: value for name, value in labels.items() if value is not None}
        atoms.calc = SinglePointCalculator(atoms, **found)
    return atoms
