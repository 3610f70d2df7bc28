"""Published values of the official weights and the structures they belong to, read from published_values.toml."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from orbmm.checkpoints.catalog import CheckpointRecord

Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class TestStructure:
    """A structure that values were published for.

    atoms: their number; atomic_numbers: (N,); positions: (N, 3) [Å]; cell: (3, 3) [Å], rows, None for a molecule
    file, found_in: where the values belong to the coordinates of a file, its name and origin; the coordinates are empty
    """

    __test__ = False  # no class of tests

    name: str
    atoms: int
    atomic_numbers: tuple[int, ...] = ()
    positions: Rows = ()
    cell: Rows | None = None
    file: str | None = None
    found_in: str = ""


@dataclass(frozen=True)
class ChargedStructure:
    """A structure with total charge [e] and spin multiplicity (0: not known), None for models that take none."""

    structure: TestStructure
    charge: int | None
    multiplicity: int | None

    def __str__(self) -> str:
        if self.charge is None:
            return self.structure.name
        return f"{self.structure.name}, charge {self.charge}, multiplicity {self.multiplicity}"


@dataclass(frozen=True)
class PublishedValue:
    """The values that were published for one model and one structure, computed in float32.

    energy_ev: total energy [eV]; forces: of the first atoms [eV/Å], may be empty
    stress: (6,) [eV/Å^3], Voigt order xx yy zz yz xz xy, or None; source: who published it
    """

    model: str
    system: ChargedStructure
    energy_ev: float
    forces: Rows
    stress: tuple[float, ...] | None
    source: str


@dataclass(frozen=True)
class PlausibleEnergy:
    """Limits [eV per atom] between which the energy of a structure must lie, whatever the model of that training."""

    system: ChargedStructure
    lowest_ev_per_atom: float
    highest_ev_per_atom: float
    source: str


def list_published_values(record: CheckpointRecord) -> tuple[PublishedValue, ...]:
    """Return the values published for a model; none for most."""
    return tuple(_build_value(entry) for entry in _read_table()["value"] if entry["model"] == record.name)


def find_plausible_energy(record: CheckpointRecord) -> PlausibleEnergy:
    """Return the limits for the energies of a model."""
    entry = next(entry for entry in _read_table()["plausible"] if entry["takes_charge"] == record.takes_charge)
    return PlausibleEnergy(
        system=charge_neutral(record, find_structure(entry["structure"])),
        lowest_ev_per_atom=entry["lowest_ev_per_atom"],
        highest_ev_per_atom=entry["highest_ev_per_atom"],
        source=entry["source"],
    )


def charge_neutral(record: CheckpointRecord, structure: TestStructure) -> ChargedStructure:
    """Return a structure without charge and with paired spins, in the form that a model takes."""
    return ChargedStructure(structure, 0, 1) if record.takes_charge else ChargedStructure(structure, None, None)


def find_structure(name: str) -> TestStructure:
    """Return the structure of this name in the file."""
    entry = _read_table()["structure"][name]
    numbers, cell = tuple(entry.get("atomic_numbers", ())), entry.get("cell")
    return TestStructure(
        name=name,
        atoms=entry.get("atoms", len(numbers)),
        atomic_numbers=numbers,
        positions=_freeze(entry.get("positions", ())),
        cell=None if cell is None else _freeze(cell),
        file=entry.get("file"),
        found_in=entry.get("found_in", ""),
    )


def hash_published_values() -> str:
    """Return the sha256 of the file of values: a proof made with other values is done again."""
    return hashlib.sha256(_read_file()).hexdigest()


def _build_value(entry: Mapping[str, Any]) -> PublishedValue:
    from orbmm.units import KJ_PER_MOL_PER_EV  # loads OpenMM, which `orbmm models` does without

    stress = entry.get("stress")
    energy = entry["energy_ev"] if "energy_ev" in entry else entry["energy_kj_per_mol"] / KJ_PER_MOL_PER_EV
    return PublishedValue(
        model=entry["model"],
        system=ChargedStructure(find_structure(entry["structure"]), entry.get("charge"), entry.get("multiplicity")),
        energy_ev=energy,
        forces=_freeze(entry.get("forces", ())),
        stress=None if stress is None else tuple(stress),
        source=entry["source"],
    )


def _freeze(rows: Any) -> Rows:
    return tuple(tuple(float(value) for value in row) for row in rows)


@cache
def _read_table() -> dict[str, Any]:
    return tomllib.loads(_read_file().decode())


@cache
def _read_file() -> bytes:
    return resources.files("orbmm.checkpoints").joinpath("published_values.toml").read_bytes()
