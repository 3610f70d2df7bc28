"""The atoms of a template are found in a residue that gives only elements and places."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from oracles.ligand_lines import draw_molecule, leave_out, take_heavy_atoms
from rdkit import Chem

from orbmm.errors import PreparationError
from orbmm.preparation.ligands.complete import add_hydrogens, name_atoms
from orbmm.preparation.ligands.match import NAME, PlacedAtoms, match_template
from orbmm.preparation.ligands.stereo import read_stereo

# Cofactors, drugs, and small ions with atoms that only resonance, geometry or stereochemistry tells apart.
MOLECULES = {
    "nicotinamide": "NC(=O)c1cccnc1",
    "biotin": "[O-]C(=O)CCCC[C@@H]1SC[C@@H]2NC(=O)N[C@H]12",
    "FMN": "Cc1cc2nc3c(=O)[nH]c(=O)nc-3n(C[C@H](O)[C@H](O)[C@H](O)COP(=O)([O-])[O-])c2cc1C",
    "NAD+": "NC(=O)c1ccc[n+](c1)[C@@H]2O[C@H](COP([O-])(=O)OP([O-])(=O)OC[C@H]3O[C@H]([C@H](O)[C@@H]3O)"
    "n4cnc5c(N)ncnc45)[C@@H](O)[C@H]2O",
    "acetazolamide": "CC(=O)Nc1nnc(s1)S(=O)(=O)[NH-]",
    "benzamidinium": "NC(=[NH2+])c1ccccc1",
    "maleate": "[O-]C(=O)/C=C\\C([O-])=O",
    "hydrogen succinate": "OC(=O)CCC([O-])=O",
    "methyl hydrogen phosphate": "OP(=O)([O-])OC",
    "1-pentene": "CCCC=C",
    "perfluoro-t-butanol": "FC(F)(F)C(C(F)(F)F)(C(F)(F)F)O",
}


def write_smiles(molecule: Chem.Mol) -> str:
    """The canonical SMILES of a molecule with the stereochemistry of its places."""
    copy = Chem.Mol(molecule)
    read_stereo(copy)
    return Chem.MolToSmiles(Chem.RemoveHs(copy))


@pytest.mark.parametrize("smiles", MOLECULES.values(), ids=MOLECULES)
def test_the_molecule_is_that_of_the_template_and_heavy_atoms_stay_where_they_are(smiles: str) -> None:
    drawn = draw_molecule(smiles)
    found = take_heavy_atoms(drawn)
    molecule = add_hydrogens(match_template(Chem.AddHs(Chem.MolFromSmiles(smiles)), found))
    name_atoms(molecule)
    assert write_smiles(molecule) == write_smiles(drawn)
    places = {atom.GetProp(NAME): molecule.GetConformer().GetPositions()[atom.GetIdx()] for atom in molecule.GetAtoms()}
    assert len(places) == molecule.GetNumAtoms() == drawn.GetNumAtoms()
    np.testing.assert_allclose([places[name] for name in found.names], found.positions, atol=1e-12)


def test_the_hydroxyl_of_an_acid_is_where_the_bond_is_long() -> None:
    drawn = draw_molecule("CC(=O)O")
    found = take_heavy_atoms(drawn)
    placed = match_template(drawn, found)
    (hydroxyl,) = [atom for atom in placed.GetAtoms() if atom.GetAtomicNum() == 8 and atom.GetTotalNumHs() == 1]
    places = placed.GetConformer().GetPositions()
    assert np.linalg.norm(places[hydroxyl.GetIdx()] - drawn.GetConformer().GetPositions()[3]) < 1e-12


def test_an_acid_with_equal_bonds_leaves_its_hydrogen_open_and_is_refused() -> None:
    found = take_heavy_atoms(draw_molecule("CC(=O)[O-]"))
    with pytest.raises(PreparationError, match=r"fits in two ways, which place hydrogens differently on O1\d, O1\d"):
        match_template(draw_molecule("CC(=O)O"), found)
    assert match_template(draw_molecule("CC(=O)[O-]"), found).GetNumAtoms() == 4


def test_a_missing_heavy_atom_is_named_with_its_neighbour() -> None:
    drawn = draw_molecule(MOLECULES["nicotinamide"])
    found = take_heavy_atoms(drawn)
    oxygen = found.numbers.index(8)
    distances = np.linalg.norm(found.positions - found.positions[oxygen], axis=1)
    neighbour = found.names[int(np.argsort(distances)[1])]
    with pytest.raises(PreparationError, match=f"LIG A:1 lacks heavy atoms of its template, O at {neighbour}:"):
        match_template(drawn, leave_out(found, oxygen))


def test_the_template_of_another_molecule_is_refused() -> None:
    found = take_heavy_atoms(draw_molecule("CCO"))
    with pytest.raises(PreparationError, match=r"has the heavy atoms C2 O, its template C2 S"):
        match_template(draw_molecule("CCS"), found)
    with pytest.raises(PreparationError, match="has the atoms of its template, but not its bonds"):
        match_template(draw_molecule("COC"), found)


def test_an_atom_far_from_its_neighbours_is_named() -> None:
    drawn = draw_molecule("CCO")
    found = take_heavy_atoms(drawn)
    oxygen = found.numbers.index(8)
    positions = found.positions.copy()
    positions[oxygen] += 5.0
    with pytest.raises(PreparationError, match=f"{found.names[oxygen]} is too far from its neighbours"):
        match_template(drawn, dataclasses.replace(found, positions=positions))


def test_the_mirror_image_of_a_template_is_refused_at_its_centres() -> None:
    drawn = draw_molecule("C[C@H](O)C([O-])=O")
    found = take_heavy_atoms(drawn)
    mirrored = PlacedAtoms(found.label, found.names, found.numbers, found.positions * [1, 1, -1])
    assert match_template(drawn, found).GetNumAtoms() == 6
    with pytest.raises(PreparationError, match=r"another stereochemistry .*\(C1\d is R, not S\)"):
        match_template(drawn, mirrored)


def test_the_other_side_of_a_double_bond_is_refused() -> None:
    found = take_heavy_atoms(draw_molecule("[O-]C(=O)/C=C/C([O-])=O"))
    with pytest.raises(PreparationError, match=r"\(C1\d=C1\d is E, not Z\)"):
        match_template(draw_molecule(MOLECULES["maleate"]), found)


def test_an_open_centre_is_taken_from_the_coordinates() -> None:
    drawn = draw_molecule("C[C@H](O)C([O-])=O")
    placed = match_template(Chem.AddHs(Chem.MolFromSmiles("CC(O)C([O-])=O")), take_heavy_atoms(drawn))
    assert write_smiles(add_hydrogens(placed)) == write_smiles(drawn)
