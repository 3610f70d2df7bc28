"""Read labelled frames in the formats that people have, convert their units, and hold some out for validation."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from orbmm.errors import ConvertBareErrors, MissingDependency, TrainingError, quote_reason
from orbmm.settings.training import DataSettings
from orbmm.training.data.frames import Frame, read_frames
from orbmm.training.data.hdf5 import iterate_hdf5
from orbmm.units import ANGSTROM_PER_BOHR, ANGSTROM_PER_NM, EV_PER_HARTREE, EV_PER_KJ_PER_MOL

if TYPE_CHECKING:
    from ase import Atoms

EV_PER_KCAL_PER_MOL = 4.184 * EV_PER_KJ_PER_MOL
EV_PER_UNIT = {"eV": 1.0, "kcal/mol": EV_PER_KCAL_PER_MOL, "kJ/mol": EV_PER_KJ_PER_MOL, "Hartree": EV_PER_HARTREE}
EV_PER_ANGSTROM_PER_UNIT = {
    "eV/Å": 1.0,
    "kcal/mol/Å": EV_PER_KCAL_PER_MOL,
    "kJ/mol/nm": EV_PER_KJ_PER_MOL / ANGSTROM_PER_NM,
    "Hartree/Bohr": EV_PER_HARTREE / ANGSTROM_PER_BOHR,
}
EV_PER_CUBIC_ANGSTROM_PER_UNIT = {"eV/Å^3": 1.0, "GPa": 1.0 / 160.2176634}
SIGNS = {"positive under tension": 1.0, "positive under pressure": -1.0}
_ASE_SUFFIXES = {".extxyz": "extxyz", ".xyz": "extxyz", ".db": "db"}
_HDF5_SUFFIXES = (".h5", ".hdf5")
_SUFFIXES = (*_ASE_SUFFIXES, *_HDF5_SUFFIXES, ".npz")
CHARGE_KEYS, MULTIPLICITY_KEYS = ("charge", "total_charge"), ("multiplicity", "spin_multiplicity")


@dataclass(frozen=True)
class LabelledData:
    """The frames of a training, and those held out."""

    training: list[Frame]
    validation: list[Frame]


def read_data(settings: DataSettings, seed: int) -> LabelledData:
    """Read all files of [data], convert their units to eV and Å, and split off the validation frames.

    Raises TrainingError for a file that cannot be read, or a split that leaves nothing on one side.
    """
    training = [frame for path in settings.training for frame in read_file(path, settings)]
    if settings.validation:
        return LabelledData(training, [frame for path in settings.validation for frame in read_file(path, settings)])
    return split_frames(training, settings.validation_share, seed)


def read_file(path: Path, settings: DataSettings) -> list[Frame]:
    """Read the labelled frames of one file, in eV and Å. Raises TrainingError."""
    return _read(path, lambda atoms, source: _convert(atoms, source, settings))


def read_structures(path: Path) -> list[Frame]:
    """Read frames without their labels, to be labelled. Raises TrainingError."""
    frames = _read(path, read_atoms)
    return [replace(frame, energy=None, forces=None, stress=None) for frame in frames]


def _read(path: Path, convert: Callable[[Atoms, str], Frame]) -> list[Frame]:
    if not path.is_file():
        raise TrainingError(f"{path}: no such file of labelled frames")
    if path.suffix not in _SUFFIXES:
        known = ", ".join(_SUFFIXES)
        raise TrainingError(f"{path}: files of labelled frames end with {known}, not with '{path.suffix}'")
    try:
        with ConvertBareErrors():
            if path.suffix == ".npz":
                frames = read_frames(path)  # always eV and Å
            else:
                numbered = enumerate(_iterate(path))
                frames = [convert(atoms, f"{path.name}, frame {number}") for number, atoms in numbered]
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, BadZipFile, sqlite3.Error) as error:
        raise TrainingError(f"{path}: cannot be read as labelled frames{quote_reason(error)}") from error
    if not frames:
        raise TrainingError(f"{path}: holds no frames")
    return frames


def split_frames(frames: Sequence[Frame], share: float, seed: int) -> LabelledData:
    """Hold out a share of the frames: whole groups, or of a single group its last frames, which are later in time.

    Raises TrainingError if one side would be empty.
    """
    wanted = round(share * len(frames))
    if share and not 0 < wanted < len(frames):
        raise TrainingError(
            f"validation_share is {share:g} of {len(frames)} frames, which leaves {wanted} to validate on: give "
            "more frames, another share, or files of their own in validation"
        )
    groups = sorted({frame.group for frame in frames})
    if len(groups) < 3:  # the last frames of each group
        held = {id(frame) for group in groups for frame in _take_last([f for f in frames if f.group == group], share)}
    else:
        chosen = _choose_groups(frames, groups, wanted, seed)
        held = {id(frame) for frame in frames if frame.group in chosen}
    return LabelledData(
        [frame for frame in frames if id(frame) not in held], [frame for frame in frames if id(frame) in held]
    )


def _take_last(frames: Sequence[Frame], share: float) -> Sequence[Frame]:
    """Return the last frames of a group, at least one of several."""
    count = max(round(share * len(frames)), 1 if share and len(frames) > 1 else 0)
    return frames[len(frames) - count :]


def _choose_groups(frames: Sequence[Frame], groups: Sequence[str], wanted: int, seed: int) -> set[str]:
    """Return groups in random order until they hold the wanted number of frames; at least one group is left out."""
    order = np.random.default_rng(seed).permutation(len(groups))
    chosen: set[str] = set()
    for index in order[:-1]:
        if sum(frame.group in chosen for frame in frames) >= wanted:
            break
        chosen.add(groups[index])
    return chosen


def _iterate(path: Path) -> Iterator[Atoms]:
    try:
        import ase.db
        import ase.io
    except ImportError as error:
        raise MissingDependency(f"reading {path.suffix} files needs ASE: pip install 'orbmm[train]'") from error
    if path.suffix == ".db":
        for row in ase.db.connect(str(path), type="db").select():
            atoms = row.toatoms()
            atoms.info |= row.key_value_pairs
            yield atoms
    elif path.suffix in _HDF5_SUFFIXES:
        yield from iterate_hdf5(path)
    else:
        yield from ase.io.iread(path, index=":", format=_ASE_SUFFIXES[path.suffix])


def _convert(atoms: Atoms, source: str, settings: DataSettings) -> Frame:
    """Return a labelled frame of ASE in eV and Å."""
    energy = _find(atoms, settings.energy_key)
    forces = _find(atoms, settings.forces_key)
    if energy is None or forces is None:
        missing = settings.energy_key if energy is None else settings.forces_key
        raise TrainingError(
            f"{source}: has no '{missing}': name the key that holds it (energy_key, forces_key in [data]), or label it"
        )
    return replace(
        read_atoms(atoms, source, settings.group_key),
        energy=float(energy) * EV_PER_UNIT[settings.energy_unit],
        forces=np.asarray(forces, dtype=np.float64) * EV_PER_ANGSTROM_PER_UNIT[settings.force_unit],
        stress=_find_stress(atoms, source, settings),
    )


def read_atoms(atoms: Atoms, source: str, group_key: str = "group") -> Frame:
    """Return a frame of ASE without labels. Raises TrainingError for partly periodic atoms, or no whole charge."""
    periodic = np.asarray(atoms.pbc)
    if periodic.any() and not periodic.all():
        raise TrainingError(f"{source}: is periodic in some directions only, which no Orb network knows")
    return Frame(
        atomic_numbers=atoms.numbers.astype(np.int64),
        positions=np.asarray(atoms.positions, dtype=np.float64),
        cell=np.array(atoms.cell, dtype=np.float64) if periodic.all() else None,
        peptide=np.asarray(atoms.arrays.get("solute", np.zeros(len(atoms))), dtype=bool),
        group=str(atoms.info.get(group_key, atoms.get_chemical_formula())),
        charge=_find_whole(atoms, CHARGE_KEYS, source),
        multiplicity=_find_whole(atoms, MULTIPLICITY_KEYS, source),
        source=source,
    )


def _find(atoms: Atoms, key: str) -> Any:
    """Return a value that the file names so; ASE keeps the usual ones among the results of a calculator."""
    results = atoms.calc.results if atoms.calc is not None else {}
    for place in (results, atoms.info, atoms.arrays):
        if key in place:
            return place[key]
    return None


def _find_stress(atoms: Atoms, source: str, settings: DataSettings) -> np.ndarray | None:
    if settings.stress_unit is None or settings.stress_sign is None:
        return None
    found = _find(atoms, settings.stress_key)
    if found is None:
        return None
    stress = np.asarray(found, dtype=np.float64)
    if stress.size == 9:
        xx, xy, xz, _, yy, yz, _, _, zz = stress.ravel()
        stress = np.array([xx, yy, zz, yz, xz, xy])
    if stress.shape != (6,):
        raise TrainingError(f"{source}: its stress has {stress.size} numbers, expected 6 (xx yy zz yz xz xy) or 9")
    return stress * EV_PER_CUBIC_ANGSTROM_PER_UNIT[settings.stress_unit] * SIGNS[settings.stress_sign]


def _find_whole(atoms: Atoms, keys: Iterable[str], source: str) -> int | None:
    for key in keys:
        if key in atoms.info:
            value = atoms.info[key]
            if not math.isclose(float(value), round(float(value))):
                raise TrainingError(f"{source}: its {key} is {value}, but must be a whole number")
            return round(float(value))
    return None
