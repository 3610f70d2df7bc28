"""A ligand at a metal: its atom completes the tetrahedron, and the rest keeps clear of what is there."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest
from openmm import app, unit
from rdkit import Chem
from scipy.spatial.distance import cdist

from orbmm.errors import PreparationError
from orbmm.preparation.ligands.add import add_ligands
from orbmm.preparation.ligands.pose import Surroundings, find_binding_atom, place_at_metal
from orbmm.settings import LigandSettings

SULFONAMIDE = "CS(=O)(=O)[NH-]"
TETRAHEDRON = np.array([[1.0, 1.0, 1.0], [1.0, -1.0, -1.0], [-1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]]) / np.sqrt(3)
DONORS = 2.1 * TETRAHEDRON[:3]
FREE = TETRAHEDRON[3]
SITE = Surroundings("ZN A:99", np.zeros(3), DONORS, DONORS, np.array([7, 7, 7]))


@cache
def place_freely(smiles: str) -> tuple[Chem.Mol, int]:
    """Computed once: several tests look at the same pose."""
    return place_at_metal(Chem.AddHs(Chem.MolFromSmiles(smiles)), SITE, "LIG A:1", 1)


def place(smiles: str, surroundings: Surroundings = SITE) -> tuple[Chem.Mol, int, np.ndarray]:
    template = Chem.AddHs(Chem.MolFromSmiles(smiles))
    alone = surroundings is SITE
    molecule, binding = place_freely(smiles) if alone else place_at_metal(template, surroundings, "LIG A:1", 1)
    return molecule, binding, molecule.GetConformer().GetPositions()


@pytest.mark.parametrize(
    ("smiles", "element", "length"), [(SULFONAMIDE, 7, 2.0), ("CC(=O)[O-]", 8, 2.0), ("C[S-]", 16, 2.3)]
)
def test_the_negative_atom_completes_the_tetrahedron(smiles: str, element: int, length: float) -> None:
    molecule, binding, places = place(smiles)
    assert molecule.GetAtomWithIdx(binding).GetAtomicNum() == element
    assert np.linalg.norm(places[binding]) == pytest.approx(length, abs=1e-6)
    away = np.degrees(np.arccos(places[binding] @ FREE / length))
    assert away < 15.0


def test_hydrogens_of_the_binding_atom_point_away_from_the_metal() -> None:
    molecule, binding, places = place(SULFONAMIDE)
    hydrogens = [atom.GetIdx() for atom in molecule.GetAtomWithIdx(binding).GetNeighbors() if atom.GetAtomicNum() == 1]
    assert len(hydrogens) == 1 and np.linalg.norm(places[hydrogens], axis=1).min() > 2.5


def test_the_pose_keeps_clear_of_what_is_there() -> None:
    """Carbon where the ring was: the twin without it has its atoms there."""
    smiles, heavy = "c1ccccc1S(=O)(=O)[NH-]", slice(0, 10)
    _, _, free = place(smiles)
    wall = free[:6].mean(axis=0) + 0.8 * TETRAHEDRON
    walled = dataclasses.replace(SITE, positions=np.vstack([DONORS, wall]), numbers=np.array([7] * 3 + [6] * 4))
    _, _, moved = place(smiles, walled)
    assert cdist(free[heavy], wall).min() < 1.5 and cdist(moved[heavy], wall).min() > 3.0


def test_a_metal_in_a_closed_pocket_is_refused() -> None:
    grid = np.array([[x, y, z] for x in range(-6, 7, 2) for y in range(-6, 7, 2) for z in range(-6, 7, 2)], dtype=float)
    wall = grid[np.linalg.norm(grid, axis=1) > 2.5]
    closed = dataclasses.replace(SITE, positions=wall, numbers=np.full(len(wall), 6))
    with pytest.raises(PreparationError, match=r"LIG A:1 finds no room at ZN A:99: .* \d\.\d\d Å apart"):
        place(SULFONAMIDE, closed)


def test_the_same_seed_places_it_the_same_way() -> None:
    again = place(SULFONAMIDE, dataclasses.replace(SITE))[2]
    assert np.array_equal(place(SULFONAMIDE)[2], again)


def test_several_atoms_that_could_bind_need_a_mark() -> None:
    with pytest.raises(PreparationError, match=r"has 2 atoms that may bind the metal: mark one N, O or S"):
        find_binding_atom(Chem.AddHs(Chem.MolFromSmiles("[O-]C(=O)CS(=O)(=O)[NH-]")), "LIG")
    with pytest.raises(PreparationError, match=r"has 0 atoms"):
        find_binding_atom(Chem.AddHs(Chem.MolFromSmiles("CS(=O)(=O)N")), "LIG")
    marked = Chem.AddHs(Chem.MolFromSmiles("[O-]C(=O)CS(=O)(=O)[NH-:1]"))
    assert marked.GetAtomWithIdx(find_binding_atom(marked, "LIG")).GetSymbol() == "N"


@pytest.mark.parametrize(
    ("donors", "message"),
    [
        (DONORS[:2], "is bound by 2 atoms other than water"),
        (np.array([[2.0, 0.0, 0.0], [-1.0, 1.732, 0.0], [-1.0, -1.732, 0.0]]), "lies in the plane of the three"),
    ],
)
def test_a_metal_without_a_free_corner_is_refused(donors: np.ndarray, message: str) -> None:
    with pytest.raises(PreparationError, match=message):
        place(SULFONAMIDE, dataclasses.replace(SITE, donors=donors))


def build_site() -> app.Modeller:
    """A zinc ion with three nitrogens of histidines and a water at its corners."""
    topology = app.Topology()
    chain = topology.addChain("A")
    names = [("ZN", "ZN", "Zn"), *[("HIS", "NE2", "N")] * 3, ("HOH", "O", "O")]
    for number, (residue, atom, element) in enumerate(names, start=97):
        topology.addAtom(atom, app.element.get_by_symbol(element), topology.addResidue(residue, chain, str(number)))
    return app.Modeller(topology, np.vstack([np.zeros(3), DONORS, 2.0 * FREE]) * unit.angstrom)


def test_the_ligand_takes_the_place_of_the_water_at_the_metal() -> None:
    modeller = build_site()
    entry = LigandSettings(residue="MSA", smiles=SULFONAMIDE, place_at="A:97")
    (ligand,) = add_ligands(modeller, app.Modeller(app.Topology(), [] * unit.nanometer), [entry], 1).ligands
    assert ligand.waters_removed == ("HOH A:101",) and ligand.residue == "MSA A:102"
    assert ligand.coordinates == "modelled, N1 2.00 Å from ZN A:97"
    assert "the pose of MSA A:102 is modelled: it fits, but no experiment shows it" in ligand.warnings
    assert [residue.name for residue in modeller.topology.residues()] == ["ZN", "HIS", "HIS", "HIS", "MSA"]


def test_a_place_that_is_no_metal_is_refused() -> None:
    entry = LigandSettings(residue="MSA", smiles=SULFONAMIDE, place_at="A:98")
    with pytest.raises(PreparationError, match="place_at names 'A:98', which is no metal .*its metals: ZN A:97"):
        add_ligands(build_site(), app.Modeller(app.Topology(), [] * unit.nanometer), [entry], 1)
