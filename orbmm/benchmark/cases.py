"""Read the structures to measure from a TOML file, build their atoms, and write the job of a measuring process."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from openmm import app, unit

from orbmm.errors import SettingsError, UnsafeFile, name_nearest
from orbmm.files import read_file
from orbmm.model.inference.execution import Execution
from orbmm.plain_text import describe_value

ATOMS_PER_WATER = 3
MOST_WATER_ATOMS = 3_000_000  # a box of more is built for hours
WATER_GRAMS_PER_MOL, WATER_GRAMS_PER_CM3 = 18.015, 0.997
PREPARED = Path("prepared")  # where `orbmm prepare` writes, each system into a separate folder
_LARGEST_BYTES = 1_000_000  # of a cases file
AVOGADRO_PER_CM3_ANGSTROM3 = 0.602214076  # molecules per mole, times Å^3 per cm^3


@dataclass(frozen=True)
class Case:
    """A structure to measure: water in a cube, or a PDB or PDBx file. origin: advice on where to get the file."""

    name: str
    water_atoms: int | None = None
    structure: Path | None = None
    origin: str | None = None


@dataclass(frozen=True)
class Atoms:
    """The atoms of a case. atomic_numbers: (N,); positions: (N, 3) [Å]; cell: (3, 3) rows [Å] or None."""

    atomic_numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray | None

    def save(self, path: Path) -> None:
        """Write the atoms as a NumPy archive, which `load_atoms` and the process of the peer read."""
        cell = np.zeros((0, 3)) if self.cell is None else self.cell
        np.savez(path, atomic_numbers=self.atomic_numbers, positions=self.positions, cell=cell)


def load_atoms(path: Path) -> Atoms:
    """Read an archive of Atoms.save."""
    with np.load(path) as archive:
        cell = archive["cell"] if len(archive["cell"]) else None
        return Atoms(archive["atomic_numbers"], archive["positions"], cell)


def read_cases(path: Path | None = None, structures: Path | None = None) -> tuple[Case, ...]:
    """Return the cases of a TOML file, by default those of the package.

    structures: folder of structure files, by default that of the TOML file, and PREPARED for the cases of the package;
    a file may also be in a subfolder of the same name, as `orbmm prepare` writes it.
    Raises SettingsError if the file is absent, is not TOML, or holds anything except [[case]] tables with a name and
    either water_atoms or structure.
    """
    source = resources.files("orbmm.benchmark") / "cases.toml" if path is None else path
    try:
        content = source.read_bytes() if path is None else read_file(path, _LARGEST_BYTES)
        document = tomllib.loads(content.decode("utf-8"))
    except FileNotFoundError as error:
        raise SettingsError(f"{source}: no such cases file") from error
    except (OSError, UnsafeFile, ValueError, RecursionError) as error:
        raise SettingsError(f"{source}: not a TOML file ({error})") from error
    folder = structures or (PREPARED if path is None else path.parent)
    tables = document.pop("case", [])
    if document or not tables or not isinstance(tables, list):
        raise SettingsError(f"{source}: expected [[case]] tables and nothing else, got {sorted(document) or 'none'}")
    return tuple(_read_case(table, f"{source}", folder) for table in tables)


def _read_case(table: object, source: str, folder: Path) -> Case:
    if not isinstance(table, dict):
        raise SettingsError(f"{source}: a case is {describe_value(table)}; expected a [[case]] table")
    known = {"name": str, "water_atoms": int, "structure": str, "origin": str}
    for key, value in table.items():
        if key not in known:
            raise SettingsError(f"{source}: unknown key '{key}' in a [[case]]; {name_nearest(key, known)}")
        if type(value) is not known[key]:
            raise SettingsError(
                f"{source}: {key} = {describe_value(value)} in a [[case]]; expected {known[key].__name__}"
            )
    if "name" not in table or ("water_atoms" in table) == ("structure" in table):
        raise SettingsError(f"{source}: a [[case]] needs a name and either water_atoms or structure, got {table}")
    water = table.get("water_atoms")
    if water is not None and not ATOMS_PER_WATER <= water <= MOST_WATER_ATOMS:
        expected = f"{ATOMS_PER_WATER} to {MOST_WATER_ATOMS:,}"
        raise SettingsError(f"{source}: water_atoms = {describe_value(water)}; expected {expected}")
    structure = folder / table["structure"] if "structure" in table else None
    return Case(table["name"], water, structure, table.get("origin"))


def choose_cases(cases: tuple[Case, ...], names: list[str] | None) -> tuple[Case, ...]:
    """Return the cases with these names, or all if no name is given. Raises SettingsError for an unknown name."""
    known = {case.name: case for case in cases}
    for name in names or ():
        if name not in known:
            raise SettingsError(f"unknown case '{name}': {name_nearest(name, known)}")
    return tuple(known[name] for name in names) if names else cases


def build_atoms(case: Case) -> Atoms:
    """Return the atoms of a case. Raises SettingsError if its structure file is absent or cannot be read."""
    if case.water_atoms is not None:
        return build_water(case.water_atoms // ATOMS_PER_WATER)
    path = _find_structure(case)
    try:
        source = app.PDBxFile(str(path)) if path.suffix in (".cif", ".pdbx") else app.PDBFile(str(path))
    except (ValueError, IndexError, KeyError) as error:
        raise SettingsError(f"{path} cannot be read as a structure: {error}") from error
    return _list_atoms(source.topology, source.positions)


def _find_structure(case: Case) -> Path:
    """Return the path of the structure file, in the folder or in a subfolder of its name. Raises SettingsError."""
    if case.structure is None:
        raise SettingsError(f"case {case.name} has neither water_atoms nor a structure")
    places = (case.structure, case.structure.parent / case.structure.stem / case.structure.name)
    for place in places:
        if place.is_file():
            return place
    advice = f"{case.origin}, or" if case.origin else "put it there, or"
    raise SettingsError(f"no file {places[0]} or {places[1]}: {advice} name its folder with --structures")


def build_water(molecules: int) -> Atoms:
    """Return a cube of liquid water at 0.997 g/cm3, in the order O H H.

    OpenMM leaves gaps at the faces of a box that it fills. To close them, molecules are moved as rigid bodies.
    """
    modeller = app.Modeller(app.Topology(), [] * unit.nanometer)
    modeller.addSolvent(app.ForceField("amber14/tip3p.xml"), numAdded=molecules)
    loose = _list_atoms(modeller.topology, modeller.positions)
    if loose.cell is None:
        raise SettingsError(f"OpenMM made no box for {molecules} molecules of water: take more of them")
    volume = molecules * WATER_GRAMS_PER_MOL / (WATER_GRAMS_PER_CM3 * AVOGADRO_PER_CM3_ANGSTROM3)  # [Å^3]
    scale = (volume / float(np.linalg.det(loose.cell))) ** (1 / 3)
    oxygens = np.repeat(loose.positions[::ATOMS_PER_WATER], ATOMS_PER_WATER, axis=0)  # (N, 3)
    return Atoms(loose.atomic_numbers, loose.positions + (scale - 1) * oxygens, scale * loose.cell)


def _list_atoms(topology: app.Topology, positions: unit.Quantity) -> Atoms:
    vectors = topology.getPeriodicBoxVectors()
    return Atoms(
        np.array([atom.element.atomic_number for atom in topology.atoms()]),
        np.array(positions.value_in_unit(unit.angstrom), dtype=np.float64),
        None if vectors is None else np.array(vectors.value_in_unit(unit.angstrom)),
    )


PROFILED_STEPS = 10  # at most, after those that are timed: about as many as lie between two searches of neighbours


@dataclass(frozen=True)
class Job:
    """The request to measure one structure with one model, in one process.

    atoms: file of `Atoms.save`; weights: a weights file, "" for that of the catalogue, "random" for random numbers
    force: a force kind of OpenMM, or "" to measure without OpenMM; evaluations, steps: the numbers of timed calls,
        0 evaluations to compute forces only; execution: how the network is computed
    """

    atoms: str
    model: str
    weights: str
    precision: str
    device: str
    threads: int
    evaluations: int
    steps: int
    force: str
    execution: Execution = field(default_factory=Execution)

    def write(self, path: Path) -> None:
        """Write the request for the process that reads it."""
        path.write_text(json.dumps(dataclasses.asdict(self)), encoding="utf-8")


def read_job(path: Path) -> Job:
    """Read the request that Job.write wrote."""
    entries = json.loads(path.read_text(encoding="utf-8"))
    return Job(**{**entries, "execution": Execution(**entries["execution"])})


Answer = dict[str, Any]
"""Measured numbers by name, or {"skipped": reason}."""
