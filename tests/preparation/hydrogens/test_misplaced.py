"""Hydrogens beside crowded residues are put where they can stay; others do not move."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from openmm import Vec3, unit
from oracles.peptide_lines import build_peptide, format_lines

from orbmm.preparation.hydrogens.misplaced import correct_hydrogens
from orbmm.preparation.solute import Solute

BuildSolute = Callable[..., Solute]


def find(solute: Solute, number: str, name: str) -> int:
    atoms = solute.modeller.topology.atoms()
    return next(atom.index for atom in atoms if (atom.residue.id, atom.name) == (number, name))


def read_places(solute: Solute) -> np.ndarray:
    return np.array(solute.modeller.positions.value_in_unit(unit.angstrom))


@pytest.fixture
def solute(build: BuildSolute) -> Solute:
    return build(format_lines(build_peptide(["ALA", "SER", "ALA"])))


def test_hydrogens_in_their_places_do_not_move(solute: Solute) -> None:
    before = read_places(solute)
    correct_hydrogens(solute.modeller)
    assert np.array_equal(read_places(solute), before)


def test_a_hydrogen_between_the_neighbours_of_ca_moves_to_the_other_side(solute: Solute) -> None:
    before = read_places(solute)
    alpha, hydrogen = find(solute, "2", "CA"), find(solute, "2", "HA")
    mirrored = 2 * before[alpha] - before[hydrogen]
    solute.modeller.positions[hydrogen] = Vec3(*mirrored) * unit.angstrom
    correct_hydrogens(solute.modeller)
    assert read_places(solute)[hydrogen] == pytest.approx(before[hydrogen], abs=0.15)
    assert np.array_equal(np.delete(read_places(solute), hydrogen, axis=0), np.delete(before, hydrogen, axis=0))


def test_a_polar_hydrogen_on_top_of_an_atom_is_moved_away_from_it(solute: Solute) -> None:
    oxygen, hydrogen, other = find(solute, "2", "OG"), find(solute, "2", "HG"), find(solute, "3", "CB")
    places = read_places(solute)
    beside = places[oxygen] + [0.0, 0.0, 1.2]
    solute.modeller.positions[other] = Vec3(*beside) * unit.angstrom
    solute.modeller.positions[hydrogen] = Vec3(*(beside + 0.01)) * unit.angstrom
    correct_hydrogens(solute.modeller)
    after = read_places(solute)
    assert np.linalg.norm(after[hydrogen] - after[oxygen]) == pytest.approx(1.0)
    assert np.linalg.norm(after[hydrogen] - after[other]) > 1.5
