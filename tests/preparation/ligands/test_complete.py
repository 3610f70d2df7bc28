"""Every atom has a name of its own that a PDB file can hold, and the same seed builds the same molecule."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem

from orbmm.preparation.ligands.complete import build_molecule, name_atoms, turn_from_metals
from orbmm.preparation.ligands.match import NAME


def name(smiles: str, **given: str) -> list[str]:
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    for index, text in given.items():
        molecule.GetAtomWithIdx(int(index.removeprefix("_"))).SetProp(NAME, text)
    name_atoms(molecule)
    return [atom.GetProp(NAME) for atom in molecule.GetAtoms()]


def test_atoms_are_named_by_element_and_number() -> None:
    assert name("ClCN") == ["CL1", "C1", "N1", "H1", "H2", "H3", "H4"]


def test_names_of_the_structure_stay_and_no_other_atom_gets_them() -> None:
    assert name("CN", _0="H2", _1="N9") == ["H2", "N9", "H1", "H3", "H4", "H5", "H6"]


def test_names_that_two_atoms_share_or_that_are_too_long_are_replaced() -> None:
    assert name("CCO", _0="CA", _1="CA", _2="OXYGEN")[:3] == ["C1", "C2", "O1"]


def test_a_large_molecule_has_unique_names_of_at_most_four_characters() -> None:
    names = name("C" * 120)
    assert len(set(names)) == len(names) == 362 and max(map(len, names)) == 4


def test_the_same_seed_builds_the_same_molecule_bitwise() -> None:
    template = Chem.AddHs(Chem.MolFromSmiles("NC(=O)c1cccnc1"))
    first, again, other = (build_molecule(template, "NCA", seed).GetConformer().GetPositions() for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_a_hydrogen_that_points_at_a_metal_is_turned_away() -> None:
    """Its twin without the metal is left as it is."""
    molecule = build_molecule(Chem.AddHs(Chem.MolFromSmiles("CS(=O)(=O)[NH-]")), "MSA", 1)
    before = molecule.GetConformer().GetPositions()
    nitrogen, hydrogen = 4, molecule.GetNumAtoms() - 1
    outward = before[hydrogen] - before[nitrogen]
    metal = before[nitrogen] + 2.0 * outward / np.linalg.norm(outward)
    turn_from_metals(molecule, np.empty((0, 3)))
    assert np.array_equal(molecule.GetConformer().GetPositions(), before)
    turn_from_metals(molecule, metal[None])
    after = molecule.GetConformer().GetPositions()
    assert np.linalg.norm(before[hydrogen] - metal) < 1.1 and np.linalg.norm(after[hydrogen] - metal) > 2.5
    assert np.linalg.norm(after[hydrogen] - after[nitrogen]) == pytest.approx(np.linalg.norm(outward))
    moved = np.flatnonzero(np.abs(after - before).max(axis=1) > 1e-9)
    assert moved.tolist() == [hydrogen]
