"""The built-in peptides have the shape of molecules."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from openmm import app, unit

from orbmm.errors import PreparationError
from orbmm.preparation.capped_peptide import build_capped_peptide


def measure_dihedral(points: np.ndarray) -> float:
    """Dihedral angle of four points [degrees], by projection on the plane across the middle bond."""
    first, middle, last = points[0] - points[1], points[2] - points[1], points[3] - points[2]
    middle = middle / np.linalg.norm(middle)
    first, last = first - first @ middle * middle, last - last @ middle * middle
    return float(np.degrees(np.arctan2(np.cross(middle, first) @ last, first @ last)))


@pytest.fixture(scope="module")
def alanine_dipeptide() -> app.Modeller:
    return build_capped_peptide("ALA", seed=1)


@pytest.fixture(scope="module")
def positions(alanine_dipeptide: app.Modeller) -> dict[tuple[str, str], np.ndarray]:
    """Positions by residue and atom name [Å]."""
    positions = np.array(alanine_dipeptide.positions.value_in_unit(unit.angstrom))
    return {(atom.residue.name, atom.name): positions[atom.index] for atom in alanine_dipeptide.topology.atoms()}


def test_it_is_ace_ala_nme_of_22_atoms(alanine_dipeptide: app.Modeller) -> None:
    assert [residue.name for residue in alanine_dipeptide.topology.residues()] == ["ACE", "ALA", "NME"]
    assert alanine_dipeptide.topology.getNumAtoms() == 22


def test_every_bond_has_the_length_of_its_elements(alanine_dipeptide: app.Modeller) -> None:
    positions = np.array(alanine_dipeptide.positions.value_in_unit(unit.angstrom))
    expected = {"CC": (1.45, 1.58), "CN": (1.28, 1.50), "CO": (1.20, 1.26), "CH": (1.05, 1.12), "HN": (0.98, 1.04)}
    assert alanine_dipeptide.topology.getNumBonds() == 21
    for bond in alanine_dipeptide.topology.bonds():
        low, high = expected["".join(sorted(bond.atom1.element.symbol + bond.atom2.element.symbol))]
        assert low < np.linalg.norm(positions[bond.atom1.index] - positions[bond.atom2.index]) < high


def test_atoms_that_are_not_bonded_keep_apart(alanine_dipeptide: app.Modeller) -> None:
    positions = np.array(alanine_dipeptide.positions.value_in_unit(unit.angstrom))
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=-1) + 10 * np.eye(len(positions))
    for bond in alanine_dipeptide.topology.bonds():
        distances[bond.atom1.index, bond.atom2.index] = distances[bond.atom2.index, bond.atom1.index] = 10
    assert distances.min() > 1.6


def test_the_backbone_is_trans_and_in_the_c7eq_basin(positions: dict[tuple[str, str], np.ndarray]) -> None:
    chain = [("ACE", "CH3"), ("ACE", "C"), ("ALA", "N"), ("ALA", "CA"), ("ALA", "C"), ("NME", "N"), ("NME", "C")]
    points = np.array([positions[atom] for atom in chain])
    omega, phi, psi, last_omega = (measure_dihedral(points[start : start + 4]) for start in range(4))
    assert abs(omega) > 165 and abs(last_omega) > 165
    assert -110 < phi < -60 and 30 < psi < 110


def test_alanine_is_left_handed(positions: dict[tuple[str, str], np.ndarray]) -> None:
    center = positions["ALA", "CA"]
    n, c, beta = (positions["ALA", name] - center for name in ("N", "C", "CB"))
    assert np.cross(n, c) @ beta > 0


def test_the_same_seed_builds_the_same_peptide_bitwise() -> None:
    first, again, other = (build_capped_peptide("SER", seed=seed) for seed in (3, 3, 4))
    assert first.positions == again.positions
    assert first.positions != other.positions


def test_several_residues_are_one_left_handed_chain() -> None:
    modeller = build_capped_peptide("SER-HIS-ASP")
    residues = list(modeller.topology.residues())
    assert [residue.name for residue in residues] == ["ACE", "SER", "HIS", "ASP", "NME"]
    places = np.array(modeller.positions.value_in_unit(unit.angstrom))
    named = [{atom.name: places[atom.index] for atom in residue.atoms()} for residue in residues]
    for before, after in pairwise(named):
        assert np.linalg.norm(after["N"] - before["C"]) == pytest.approx(1.335, abs=0.04)
    for one in named[1:-1]:
        n, c, beta = (one[name] - one["CA"] for name in ("N", "C", "CB"))
        assert np.cross(n, c) @ beta > 0


def test_an_unknown_residue_is_refused() -> None:
    with pytest.raises(PreparationError, match="'LYZ'.*did you mean 'LYS'"):
        build_capped_peptide("SER-LYZ")
