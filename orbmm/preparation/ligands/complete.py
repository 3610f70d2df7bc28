"""Complete a molecule: hydrogens, coordinates, and a name of at most four characters for every atom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
from rdkit import Chem
from rdkit.Chem.rdDistGeom import EmbedMolecule
from rdkit.Chem.rdForceFieldHelpers import (
    MMFFGetMoleculeForceField,
    MMFFGetMoleculeProperties,
    UFFGetMoleculeForceField,
    UFFHasAllMoleculeParams,
)
from rdkit.ForceField.rdForceField import ForceField  # older versions need this import before they return one
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from orbmm.errors import PreparationError
from orbmm.preparation.hydrogens.metal_sites import LEAST_HYDROGEN_DISTANCE_ANGSTROM
from orbmm.preparation.ligands.match import NAME

# ETKDG version 3: Wang, Witek, Landrum and Riniker, J. Chem. Inf. Model. 60, 2044 (2020).
ETKDG_VERSION = 2  # of its torsions, which version 3 shares

_LONGEST_NAME = 4  # columns of a PDB file
_MOST_ITERATIONS = 500
_TURNS = 72


def add_hydrogens(placed: Chem.Mol) -> Chem.Mol:
    """Return the molecule with all hydrogens; atoms with coordinates keep them."""
    given = placed.GetNumAtoms()
    molecule = Chem.AddHs(placed, addCoords=True)
    if molecule.GetNumAtoms() > given:
        relax_molecule(molecule, fixed=range(given))
    return molecule


def build_molecule(template: Chem.Mol, label: str, seed: int) -> Chem.Mol:
    """Return a template with coordinates that RDKit builds; the same seed gives the same ones."""
    molecule = Chem.Mol(template)
    if EmbedMolecule(molecule, randomSeed=seed, useMacrocycleTorsions=True, ETversion=ETKDG_VERSION) != 0:
        raise PreparationError(f"RDKit finds no coordinates for {label}: give a file with them")
    relax_molecule(molecule)
    return molecule


def relax_molecule(molecule: Chem.Mol, fixed: range = range(0)) -> None:
    """Minimise the energy of a molecule in vacuum with MMFF94, or UFF where that lacks parameters. fixed: atoms."""
    field = _find_force_field(molecule)
    if field is None:
        return  # as RDKit placed it
    field.Initialize()
    for index in fixed:
        field.AddFixedPoint(index)
    field.Minimize(maxIts=_MOST_ITERATIONS)


def _find_force_field(molecule: Chem.Mol) -> ForceField | None:
    properties = MMFFGetMoleculeProperties(molecule)
    if properties is not None:
        return MMFFGetMoleculeForceField(molecule, properties)
    return UFFGetMoleculeForceField(molecule) if UFFHasAllMoleculeParams(molecule) else None


def turn_from_metals(molecule: Chem.Mol, metals: np.ndarray) -> None:
    """Turn hydrogens that are too near to a metal about the bond of their atom, to where they are farthest from it.

    RDKit does not know the metal and points them anywhere, also at it. metals: (M, 3) [Å]
    """
    conformer = molecule.GetConformer()
    for atom in molecule.GetAtoms():
        neighbours = atom.GetNeighbors()
        hydrogens = [other.GetIdx() for other in neighbours if other.GetAtomicNum() == 1]
        heavy = [other.GetIdx() for other in neighbours if other.GetAtomicNum() > 1]
        positions = conformer.GetPositions()
        if (
            len(heavy) != 1
            or not hydrogens
            or _measure(positions[hydrogens], metals) > LEAST_HYDROGEN_DISTANCE_ANGSTROM
        ):
            continue
        origin = positions[atom.GetIdx()]
        axis = (origin - positions[heavy[0]]) / np.linalg.norm(origin - positions[heavy[0]])
        turns = [Rotation.from_rotvec(angle * axis) for angle in np.linspace(0.0, 2 * np.pi, _TURNS, endpoint=False)]
        turned = [turn.apply(positions[hydrogens] - origin) + origin for turn in turns]
        positions[hydrogens] = max(turned, key=lambda some: _measure(some, metals))
        conformer.SetPositions(np.ascontiguousarray(positions))


def _measure(positions: np.ndarray, metals: np.ndarray) -> float:
    return float(cdist(positions, metals).min()) if len(metals) else np.inf


def name_atoms(molecule: Chem.Mol) -> None:
    """Give each atom without a name one that no other has: element and a number. Names of a MOL2 file are kept."""
    given = [_read_name(atom) for atom in molecule.GetAtoms()]
    counts = Counter(given)
    kept = {name for name in given if name and counts[name] == 1 and len(name) <= _LONGEST_NAME}
    free = {symbol: _list_free_names(symbol, kept) for symbol in {atom.GetSymbol() for atom in molecule.GetAtoms()}}
    for atom, name in zip(molecule.GetAtoms(), given, strict=True):
        atom.SetProp(NAME, name if name in kept else next(free[atom.GetSymbol()]))


def _read_name(atom: Chem.Atom) -> str:
    for key in (NAME, "_TriposAtomName"):
        if atom.HasProp(key):
            return str(atom.GetProp(key)).strip()
    return ""


def _list_free_names(symbol: str, taken: set[str]) -> Iterator[str]:
    number = 0
    while True:
        number += 1
        name = f"{symbol.upper()}{number}"
        if name not in taken:
            yield name
