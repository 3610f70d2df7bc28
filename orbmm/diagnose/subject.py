"""Find out what is to be diagnosed: a model of the catalogue, a system, a run, or structures of a file."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from orbmm.checkpoints.catalog import OWN_PREFIX, list_models
from orbmm.errors import ModelError, StructureError, name_nearest
from orbmm.preparation.shipped import write_system
from orbmm.run_files.checkpoints import STATE_FILE
from orbmm.settings import ModelSettings, Settings, read_settings
from orbmm.settings.paths import is_weights_path
from orbmm.settings.system import SystemSettings
from orbmm.simulation.folder.checkpoint import find_checkpoint
from orbmm.simulation.folder.folder import find_run
from orbmm.simulation.start.structure import Structure, read_start
from orbmm.training.data.frames import Frame
from orbmm.training.data.reading import read_atoms, read_structures
from orbmm.units import ANGSTROM_PER_NM

if TYPE_CHECKING:
    from ase import Atoms

SHIPPED = "alanine-dipeptide"
"""The box on which a model is diagnosed if no structure is given: 256 atoms of a capped peptide in water."""

_FRAME_SUFFIXES = (".extxyz", ".xyz", ".npz", ".db")


@dataclass(frozen=True)
class Subject:
    """The model and the structures to be diagnosed, one or more. folder: of the run, None for anything else"""

    model: ModelSettings
    frames: tuple[Frame, ...]
    folder: Path | None = None


def find_subject(target: str, structure: Path | None = None) -> Subject:
    """Return the subject of a model name or weights file, a system.toml, or a run folder.

    structure: instead of the target's own, or of the shipped box
    Raises ModelError for a name that is none of these, and the errors of reading.
    """
    path = Path(target)
    if path.suffix == ".toml" or path.is_dir():
        subject = _read_run(path) if path.is_dir() else _read_system(read_settings(path))
    else:
        names = {known for record in list_models() for known in (record.name, *record.aliases)}
        if not is_weights_path(target) and target.removeprefix(OWN_PREFIX) not in names:
            raise ModelError(f"'{target}' is no model, no system.toml and no run folder: {name_nearest(target, names)}")
        subject = Subject(ModelSettings(name=target), read_shipped() if structure is None else ())
    return subject if structure is None else replace(subject, frames=read_frames(structure))


def read_frames(structure: Frame | Atoms | str | Path | Sequence[Any]) -> tuple[Frame, ...]:
    """Return the frames of a structure: of a file, of ASE's atoms, or of a sequence of such.

    Files are PDB or mmCIF, a system.toml, or frames of ASE. Raises StructureError, or the errors of reading.
    """
    if isinstance(structure, Frame):
        return (structure,)
    if isinstance(structure, str | Path):
        path = Path(structure)
        if path.suffix in _FRAME_SUFFIXES:
            return tuple(read_structures(path))
        if path.suffix == ".toml":
            return _read_system(read_settings(path)).frames
        return (_convert(read_start(SystemSettings(name=path.stem, structure=path)), path.name),)
    if _is_ase(structure):
        return (read_atoms(structure, "the atoms"),)
    if isinstance(structure, Sequence) and len(structure):
        return tuple(frame for each in structure for frame in read_frames(each))
    raise StructureError(
        f"a structure must be a file, atoms of ASE or a list of these, got {type(structure).__name__}: give one"
    )


def _is_ase(structure: object) -> TypeGuard[Atoms]:
    """Return whether these are atoms of ASE, which is imported by whoever has them."""
    return hasattr(structure, "numbers") and hasattr(structure, "pbc")


def read_shipped() -> tuple[Frame, ...]:
    """Return the shipped box at 300 K."""
    with tempfile.TemporaryDirectory(prefix="orbmm-") as folder:
        return _read_system(read_settings(write_system(SHIPPED, Path(folder) / SHIPPED))).frames


def _read_system(settings: Settings) -> Subject:
    frame = _convert(read_start(settings.system), settings.system.name)
    charged = replace(frame, charge=settings.model.charge, multiplicity=settings.model.multiplicity)
    return Subject(settings.model, (charged,))


def _read_run(path: Path) -> Subject:
    """Return the subject of a run: all atoms at the newest checkpoint, or at the start if there is none yet."""
    folder = find_run(path)
    settings = read_settings(folder.settings)
    checkpoint = find_checkpoint(folder.checkpoints)
    if checkpoint is not None:
        system = replace(settings.system, state=checkpoint.folder.path / STATE_FILE)
        settings = replace(settings, system=system)
    return replace(_read_system(settings), folder=path)


def _convert(start: Structure, source: str) -> Frame:
    numbers = [0 if atom.element is None else atom.element.atomic_number for atom in start.topology.atoms()]
    vectors = start.topology.getPeriodicBoxVectors()
    return Frame(
        atomic_numbers=np.array(numbers, dtype=np.int64),
        positions=start.positions * ANGSTROM_PER_NM,
        cell=None if vectors is None else np.array([list(row._value) for row in vectors]) * ANGSTROM_PER_NM,
        peptide=np.zeros(len(numbers), dtype=bool),
        group=source,
        source=source,
    )
