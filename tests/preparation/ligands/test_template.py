"""A template is read from SMILES, SDF and MOL2 in the state in which it is drawn, or refused with a reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from oracles.ligand_lines import draw_molecule
from rdkit import Chem
from rdkit.Chem.rdDepictor import Compute2DCoords

from orbmm.errors import PreparationError
from orbmm.preparation.ligands.template import HYDROGENS_ADDED, has_coordinates, read_template
from orbmm.settings import LigandSettings

ACETATE_MOL2 = """\
@<TRIPOS>MOLECULE
acetate
7 6 0 0 0
SMALL
USER_CHARGES
@<TRIPOS>ATOM
1 CH3 -1.4 0.0 0.0 C.3 1 ACT 0.0
2 C 0.1 0.0 0.1 C.2 1 ACT 0.0
3 O 0.7 1.1 0.0 O.co2 1 ACT -0.5
4 OXT 0.7 -1.1 0.0 O.co2 1 ACT -0.5
5 H1 -1.8 1.0 0.0 H 1 ACT 0.0
6 H2 -1.8 -0.5 0.9 H 1 ACT 0.0
7 H3 -1.8 -0.5 -0.9 H 1 ACT 0.0
@<TRIPOS>BOND
1 1 2 1
2 2 3 ar
3 2 4 ar
4 1 5 1
5 1 6 1
6 1 7 1
"""


def write_sdf(path: Path, molecule: Chem.Mol) -> Path:
    path.write_text(f"{Chem.MolToMolBlock(molecule)}$$$$\n")
    return path


@pytest.mark.parametrize(
    ("smiles", "atoms", "charge"),
    [("c1ccccc1", 12, 0), ("CC(=O)[O-]", 7, -1), ("CC(=O)O", 8, 0), ("C[NH3+]", 8, 1)],
)
def test_a_smiles_is_taken_in_the_state_in_which_it_is_written(smiles: str, atoms: int, charge: int) -> None:
    template = read_template(LigandSettings(residue="LIG", smiles=smiles, charge=charge))
    assert (template.GetNumAtoms(), Chem.GetFormalCharge(template)) == (atoms, charge)
    assert not has_coordinates(template)


def test_coordinates_and_hydrogens_of_a_file_are_kept(tmp_path: Path) -> None:
    drawn = draw_molecule("OCC=O")
    template = read_template(LigandSettings(residue="LIG", file=write_sdf(tmp_path / "x.sdf", drawn)))
    places = template.GetConformer().GetPositions()
    np.testing.assert_allclose(places, drawn.GetConformer().GetPositions(), atol=1e-4)


def test_hydrogens_that_a_file_lacks_are_placed(tmp_path: Path) -> None:
    bare = Chem.RemoveHs(draw_molecule("OCC=O"))
    template = read_template(LigandSettings(residue="LIG", file=write_sdf(tmp_path / "x.sdf", bare)))
    assert template.GetNumAtoms() == bare.GetNumAtoms() + 4
    lengths = [
        np.linalg.norm(
            np.subtract(*template.GetConformer().GetPositions()[[bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()]])
        )
        for bond in template.GetBonds()
    ]
    assert min(lengths) > 0.9
    assert template.GetIntProp(HYDROGENS_ADDED) == 4


def test_a_drawing_in_a_plane_has_no_coordinates(tmp_path: Path) -> None:
    flat = Chem.MolFromSmiles("c1ccccc1O")
    Compute2DCoords(flat)
    template = read_template(LigandSettings(residue="LIG", file=write_sdf(tmp_path / "x.sdf", flat)))
    assert template.GetNumConformers() == 0 and template.GetNumAtoms() == 13


def test_a_mol2_file_gives_its_charge(tmp_path: Path) -> None:
    path = tmp_path / "act.mol2"
    path.write_text(ACETATE_MOL2)
    template = read_template(LigandSettings(residue="ACT", file=path))
    assert (template.GetNumAtoms(), Chem.GetFormalCharge(template)) == (7, -1)


REFUSED = {
    "C(C)(C)(C)(C)C": "is no possible molecule .*valence",
    "c1ccc": "cannot be read as a molecule|is no possible molecule",
    "hello": "cannot be read as a molecule",
    "CC(=O)[O-].[Na+]": "holds Na: a ligand with a metal",
    "CC(=O)[O-].C[NH3+]": "holds 2 molecules: write the ligand without its counter-ions",
    "C*": "without an element",
    "[Cl-]": "is a single ion",
}


@pytest.mark.parametrize(("smiles", "message"), REFUSED.items(), ids=REFUSED)
def test_a_smiles_that_is_no_ligand_is_refused_with_the_reason(
    smiles: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(PreparationError, match=message):
        read_template(LigandSettings(residue="LIG", smiles=smiles))
    assert capfd.readouterr().err == ""


def test_another_charge_than_the_stated_one_is_refused() -> None:
    with pytest.raises(PreparationError, match=r"has charge \+0, but charge is -1"):
        read_template(LigandSettings(residue="AZM", smiles="CS(=O)(=O)N", charge=-1))


def test_files_that_hold_no_single_molecule_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.sdf"
    entry = LigandSettings(residue="LIG", file=path)
    with pytest.raises(PreparationError, match="there is no ligand file"):
        read_template(entry)
    path.write_text("nothing of a molecule")
    with pytest.raises(PreparationError, match="cannot be read as a molecule"):
        read_template(entry)
    record = f"{Chem.MolToMolBlock(draw_molecule('CO'))}$$$$\n"
    path.write_text(record * 2)
    with pytest.raises(PreparationError, match="holds 2 molecules"):
        read_template(entry)
