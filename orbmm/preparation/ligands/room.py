"""The room of a ligand: what is too near to it, and which waters leave."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from openmm import app, unit
from rdkit import Chem
from scipy.spatial.distance import cdist

from orbmm.errors import PreparationError
from orbmm.preparation.ligands.match import NAME
from orbmm.preparation.residues import is_metal, is_water, label_residue

_BOND_FACTOR = 1.25  # of the sum of covalent radii: as near as a bond
_LEAST_WATER_ANGSTROM = {7: 2.4, 8: 2.4, 16: 2.4}  # of its oxygen from N, O and S, which form hydrogen bonds
_LEAST_WATER_OF_OTHERS_ANGSTROM = 2.9


def refuse_overlap(modeller: app.Modeller, molecule: Chem.Mol, label: str) -> None:
    """Raise PreparationError that names two heavy atoms which are as near as a bond; water and metals do not count."""
    others = [atom for atom in list_heavy(modeller.topology) if not (is_water(atom.residue) or is_metal(atom.residue))]
    own = _list_own(molecule)
    if not others:
        return
    radii = np.add.outer(*(_read_radii([_number(atom) for atom in some]) for some in (own, others)))
    distances = cdist(_read_own_positions(molecule), _read_positions(modeller, others))
    first, second = np.unravel_index((distances / radii).argmin(), distances.shape)
    if distances[first, second] < _BOND_FACTOR * radii[first, second]:
        raise PreparationError(
            f"{own[first].GetProp(NAME)} of {label} is {distances[first, second]:.2f} Å from {others[second].name} of "
            f"{label_residue(others[second].residue)}, as near as a bond: correct the coordinates; a ligand with a "
            "covalent bond to another residue cannot be prepared yet"
        )


def find_displaced_waters(
    modeller: app.Modeller, molecule: Chem.Mol, leaving: Sequence[str]
) -> list[app.topology.Residue]:
    """Return the waters that are too near to the molecule. leaving: those that go in any case, by name."""
    waters = [atom for atom in list_heavy(modeller.topology) if is_water(atom.residue)]
    if not waters:
        return []
    least = [
        _LEAST_WATER_ANGSTROM.get(atom.GetAtomicNum(), _LEAST_WATER_OF_OTHERS_ANGSTROM) for atom in _list_own(molecule)
    ]
    distances = cdist(_read_own_positions(molecule), _read_positions(modeller, waters))
    near = (distances < np.array(least)[:, None]).any(axis=0)
    return [
        atom.residue for atom, gone in zip(waters, near, strict=True) if gone or label_residue(atom.residue) in leaving
    ]


def find_nearest(modeller: app.Modeller, molecule: Chem.Mol) -> float | None:
    """Return the least distance of two heavy atoms [Å]; None where the molecule is alone."""
    others = list_heavy(modeller.topology)
    return float(cdist(_read_own_positions(molecule), _read_positions(modeller, others)).min()) if others else None


def read_metals(modeller: app.Modeller) -> np.ndarray:
    """Return the positions of all metals (M, 3) [Å]."""
    return _read_positions(modeller, [atom for atom in list_heavy(modeller.topology) if is_metal(atom.residue)])


def list_heavy(topology: app.Topology) -> list[app.topology.Atom]:
    """Return the atoms heavier than hydrogen."""
    return [atom for atom in topology.atoms() if atom.element is not None and atom.element.atomic_number > 1]


def _list_own(molecule: Chem.Mol) -> list[Chem.Atom]:
    return [atom for atom in molecule.GetAtoms() if atom.GetAtomicNum() > 1]


def _number(atom: app.topology.Atom | Chem.Atom) -> int:
    return atom.GetAtomicNum() if isinstance(atom, Chem.Atom) else atom.element.atomic_number


def _read_radii(numbers: list[int]) -> np.ndarray:
    return np.array([Chem.GetPeriodicTable().GetRcovalent(number) for number in numbers])


def _read_positions(modeller: app.Modeller, atoms: list[app.topology.Atom]) -> np.ndarray:
    positions = np.array(modeller.positions.value_in_unit(unit.angstrom)).reshape(-1, 3)
    return positions[[atom.index for atom in atoms]]


def _read_own_positions(molecule: Chem.Mol) -> np.ndarray:
    return molecule.GetConformer().GetPositions()[[atom.GetIdx() for atom in _list_own(molecule)]]
