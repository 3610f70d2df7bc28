"""A ligand that is named stays where it is, with hydrogens; what is not named is removed and told."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from openmm import app, unit
from oracles.ligand_lines import draw_molecule, format_residue, leave_out, take_heavy_atoms
from rdkit import Chem

from orbmm.errors import MissingDependency, PreparationError
from orbmm.preparation.elements import KnownElements
from orbmm.preparation.force_field import sum_charge
from orbmm.preparation.solute import Solute
from orbmm.settings import LigandSettings

WriteStructure = Callable[[Sequence[str]], Path]
Keep = Callable[..., Solute]

SMILES = "NC(=O)c1cccnc1"  # nicotinamide, a cofactor's reactive half
NICOTINAMIDE = LigandSettings(residue="NCA", smiles=SMILES)
FOUND = take_heavy_atoms(draw_molecule(SMILES), "NCA A:401")
BESIDE = (0.0, 0.0, 8.0)  # of the peptide [Å]


def find_residue(solute: Solute, name: str) -> app.topology.Residue:
    (residue,) = [residue for residue in solute.modeller.topology.residues() if residue.name == name]
    return residue


def read_places(solute: Solute, residue: app.topology.Residue) -> dict[str, np.ndarray]:
    positions = np.array(solute.modeller.positions.value_in_unit(unit.angstrom))
    return {atom.name: positions[atom.index] for atom in residue.atoms()}


def test_a_named_ligand_keeps_its_names_and_places_and_gets_its_hydrogens(
    write_structure: WriteStructure, keep: Keep
) -> None:
    solute = keep(write_structure(format_residue(FOUND, BESIDE)), NICOTINAMIDE)
    places = read_places(solute, find_residue(solute, "NCA"))
    for name, place in zip(FOUND.names, FOUND.positions + np.array(BESIDE), strict=True):
        assert places[name] == pytest.approx(place, abs=0.0006)  # a PDB file has three decimals
    assert len(places) == 15 and sum(name.startswith("H") for name in places) == 6
    (ligand,) = solute.ligands
    assert (ligand.residue, ligand.charge, ligand.atoms, ligand.hydrogens_added) == ("NCA A:401", 0, 15, 6)
    assert ligand.state == Chem.CanonSmiles(SMILES) and ligand.coordinates == "of the structure"
    assert solute.repairs is not None and solute.repairs.residues_removed == {}


def test_what_is_not_named_is_removed_and_counted(write_structure: WriteStructure, keep: Keep) -> None:
    other = take_heavy_atoms(draw_molecule("CC(=O)[O-]"), "ACT A:402")
    path = write_structure([*format_residue(FOUND, BESIDE), *format_residue(other, (0.0, 0.0, -9.0))])
    solute = keep(path, NICOTINAMIDE)
    assert solute.repairs is not None and solute.repairs.residues_removed == {"ACT": 1}
    without = keep(path)
    assert without.repairs is not None and without.repairs.residues_removed == {"NCA": 1, "ACT": 1}
    assert without.ligands == ()


def test_a_structure_in_mmcif_gives_the_same(write_structure: WriteStructure, keep: Keep, tmp_path: Path) -> None:
    pdb = app.PDBFile(str(write_structure(format_residue(FOUND, BESIDE))))
    path = tmp_path / "complex.cif"
    with path.open("w") as stream:
        app.PDBxFile.writeFile(pdb.topology, pdb.positions, stream, keepIds=True)
    (ligand,) = keep(path, NICOTINAMIDE).ligands
    assert (ligand.residue, ligand.atoms) == ("NCA A:401", 15)


def test_every_copy_is_kept_or_one_in_another_state(write_structure: WriteStructure, keep: Keep) -> None:
    acid, anion = "OC(=O)c1cccnc1", "[O-]C(=O)c1cccnc1"
    copies = [
        *format_residue(take_heavy_atoms(draw_molecule(anion), "NIO A:401"), BESIDE),
        *format_residue(take_heavy_atoms(draw_molecule(acid), "NIO A:402"), (0.0, 0.0, -9.0)),
    ]
    path = write_structure(copies)
    both = keep(path, LigandSettings(residue="NIO", smiles=anion))
    assert [(ligand.residue, ligand.charge) for ligand in both.ligands] == [("NIO A:401", -1), ("NIO A:402", -1)]
    mixed = keep(path, LigandSettings(residue="NIO", smiles=anion), LigandSettings(residue="NIO A:402", smiles=acid))
    assert [(ligand.residue, ligand.charge) for ligand in mixed.ligands] == [("NIO A:401", -1), ("NIO A:402", 0)]
    assert sum_charge(mixed.modeller.topology, mixed.molecules) == -1
    one = keep(path, LigandSettings(residue="NIO A:402", smiles=acid))
    assert one.repairs is not None and one.repairs.residues_removed == {"NIO": 1}


def test_one_alternate_location_of_a_ligand_is_taken(write_structure: WriteStructure, keep: Keep) -> None:
    lines = [*format_residue(FOUND, BESIDE, "A"), *format_residue(FOUND, (0.0, 0.0, 8.5), "B")]
    solute = keep(write_structure(lines), NICOTINAMIDE, alternate_locations={"A:401": "B"})
    place = read_places(solute, find_residue(solute, "NCA"))[FOUND.names[0]]
    assert place == pytest.approx(FOUND.positions[0] + [0.0, 0.0, 8.5], abs=0.0006)


def test_a_ligand_without_all_its_heavy_atoms_is_refused(write_structure: WriteStructure, keep: Keep) -> None:
    lines = format_residue(leave_out(FOUND, FOUND.numbers.index(8)), BESIDE)
    with pytest.raises(PreparationError, match=r"NCA A:401 lacks heavy atoms of its template, O at C1\d"):
        keep(write_structure(lines), NICOTINAMIDE)


def test_a_stated_bond_to_the_protein_is_refused(write_structure: WriteStructure, keep: Keep) -> None:
    lines = format_residue(FOUND, BESIDE)
    link = f"LINK         CB  ALA A   2                 {FOUND.names[0]:<3s} NCA A 401     1555   1555  1.50"
    with pytest.raises(PreparationError, match="LINK bonds NCA A:401 to ALA A:2: a ligand that is bonded"):
        keep(write_structure([link, *lines]), NICOTINAMIDE)


def test_an_atom_as_near_as_a_bond_is_refused(write_structure: WriteStructure, keep: Keep) -> None:
    path = write_structure([])
    carbon = next(line for line in path.read_text().splitlines() if line[12:16].strip() == "CB")
    beside = np.array([float(carbon[at : at + 8]) for at in (30, 38, 46)]) + [1.4, 0.0, 0.0] - FOUND.positions[0]
    with pytest.raises(PreparationError, match=r"of NCA A:401 is \d\.\d\d Å from .* as near as a bond"):
        keep(write_structure(format_residue(FOUND, beside)), NICOTINAMIDE)


def test_waters_in_the_place_of_a_ligand_leave(write_structure: WriteStructure, keep: Keep) -> None:
    x, y, z = FOUND.positions[0] + np.array(BESIDE)
    waters = [
        f"HETATM  99{number}  O   HOH A{500 + number:4d}    {x:8.3f}{y:8.3f}{z + away:8.3f}  1.00  0.00           O"
        for number, away in ((1, 1.5), (2, 9.0))
    ]
    (ligand,) = (solute := keep(write_structure([*format_residue(FOUND, BESIDE), *waters]), NICOTINAMIDE)).ligands
    assert ligand.waters_removed == ("HOH A:501",)
    assert find_residue(solute, "HOH").id == "502"


def test_an_element_that_the_network_does_not_know_is_refused_by_name(
    write_structure: WriteStructure, keep: Keep
) -> None:
    found = take_heavy_atoms(draw_molecule("c1ccc(Br)cc1"), "BRB A:401")
    entry = LigandSettings(residue="BRB", smiles="c1ccc(Br)cc1")
    path = write_structure(format_residue(found, BESIDE))
    with pytest.raises(PreparationError, match=r"tiny was not trained on Br \(in BRB\)"):
        keep(path, entry, known=KnownElements("tiny", frozenset({1, 6, 7, 8})))
    assert keep(path, entry, known=KnownElements("large", frozenset({1, 6, 7, 8, 35}))).ligands


def test_a_residue_of_the_protein_is_no_ligand(write_structure: WriteStructure, keep: Keep) -> None:
    with pytest.raises(PreparationError, match="ALA A:2 is part of a protein"):
        keep(write_structure([]), LigandSettings(residue="ALA", smiles="CC([NH3+])C(=O)[O-]"))


def test_a_file_beside_the_structure_gives_the_coordinates(
    write_structure: WriteStructure, keep: Keep, tmp_path: Path
) -> None:
    drawn = draw_molecule(SMILES)
    drawn.GetConformer().SetPositions(drawn.GetConformer().GetPositions() + np.array(BESIDE))
    (tmp_path / "nca.sdf").write_text(Chem.MolToMolBlock(drawn))
    entry = LigandSettings(residue="NCA", file=tmp_path / "nca.sdf")
    solute = keep(write_structure([]), entry)
    places = read_places(solute, find_residue(solute, "NCA"))
    np.testing.assert_allclose(list(places.values()), drawn.GetConformer().GetPositions(), atol=1e-4)
    (ligand,) = solute.ligands
    assert (ligand.residue, ligand.hydrogens_added, ligand.warnings) == ("NCA A:4", 0, ())
    assert ligand.coordinates == f"of {tmp_path / 'nca.sdf'}"


def test_a_file_in_another_frame_is_a_warning(write_structure: WriteStructure, keep: Keep, tmp_path: Path) -> None:
    drawn = draw_molecule(SMILES)
    drawn.GetConformer().SetPositions(drawn.GetConformer().GetPositions() + np.array([0.0, 0.0, 60.0]))
    (tmp_path / "nca.sdf").write_text(Chem.MolToMolBlock(drawn))
    (ligand,) = keep(write_structure([]), LigandSettings(residue="NCA", file=tmp_path / "nca.sdf")).ligands
    (warning,) = ligand.warnings
    assert "Å from the nearest atom of the structure: are both in the same frame?" in warning


def test_a_ligand_without_a_place_is_refused(write_structure: WriteStructure, keep: Keep) -> None:
    with pytest.raises(PreparationError, match="NCA has no place: the structure has no such residue"):
        keep(write_structure([]), NICOTINAMIDE)


def test_two_molecules_are_not_built_in_one_place(keep: Keep) -> None:
    with pytest.raises(PreparationError, match="BNZ has no place"):
        keep("water", NICOTINAMIDE, LigandSettings(residue="BNZ", smiles="c1ccccc1"))


def test_an_open_stereocentre_that_rdkit_chooses_is_a_warning(keep: Keep) -> None:
    (open_centre,) = keep("water", LigandSettings(residue="LAC", smiles="CC(O)C(=O)[O-]")).ligands
    (closed,) = keep("water", LigandSettings(residue="LAC", smiles="C[C@H](O)C(=O)[O-]")).ligands
    assert "leaves 1 stereocentre or double bond open" in open_centre.warnings[0] and closed.warnings == ()


def test_an_unpaired_electron_is_a_warning(keep: Keep) -> None:
    (ligand,) = keep("water", LigandSettings(residue="MTL", smiles="[CH2]O")).ligands
    assert "has 1 unpaired electron" in ligand.warnings[0]


def test_without_rdkit_one_sentence_says_what_to_install(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("orbmm.preparation.ligands.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rdkit", None)
    with pytest.raises(MissingDependency, match=r"needs RDKit, which is not installed: pip install 'orbmm\[ligands\]'"):
        keep("water", NICOTINAMIDE)


def test_an_rdkit_that_cannot_be_loaded_is_one_sentence(
    keep: Keep, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in sys.modules if name.startswith(("orbmm.preparation.ligands.", "rdkit"))]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / "rdkit.py").write_text("raise ImportError('libXrender.so.1: no such file', name='rdkit.Chem.rdchem')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingDependency, match=r"needs RDKit, which cannot be loaded \(libXrender.so.1: no such file"):
        keep("water", NICOTINAMIDE)
