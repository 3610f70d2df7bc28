"""From a file to a solute: what is repaired, which hydrogens are placed, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from openmm import app, unit

from orbmm.errors import PreparationError
from orbmm.preparation.elements import KnownElements
from orbmm.preparation.force_field import sum_charge
from orbmm.preparation.repair.chirality import list_mirrored_residues
from orbmm.preparation.solute import Solute, build_solute
from orbmm.settings.preparation import PreparationSettings
from orbmm.settings.system import SystemSettings

WritePeptide = Callable[..., Path]


def build(
    path: Path | str, ph: float = 7.0, seed: int = 1, known: KnownElements | None = None, **table: object
) -> Solute:
    system = SystemSettings(name="x", source=str(path), ph=ph, seed=seed)
    return build_solute(system, PreparationSettings(**table), known)


@pytest.mark.parametrize(("nitrogen", "form"), [("ND1", "HIE"), ("NE2", "HID")])
def test_a_nitrogen_that_binds_a_metal_carries_no_hydrogen(
    nitrogen: str, form: str, write_peptide: WritePeptide
) -> None:
    solute = build(write_peptide("HIS", zinc_at=nitrogen))
    (histidine,) = solute.protonation
    assert (histidine.form, histidine.reason) == (form, f"binds ZN A:99 through {nitrogen}")
    (ligand,) = solute.metal_sites[0].ligands
    assert (ligand.name, ligand.distance_angstrom) == (nitrogen, pytest.approx(2.1, abs=0.002))
    assert sum_charge(solute.modeller.topology) == 2


def test_a_metal_farther_than_that_dictates_nothing(write_peptide: WritePeptide) -> None:
    solute = build(write_peptide("HIS", zinc_at="ND1", distance=2.9))
    assert solute.metal_sites[0].ligands == ()
    assert solute.protonation[0].reason == "pH 7, the better hydrogen bond"


def test_the_metal_rule_holds_at_low_ph_too(write_peptide: WritePeptide) -> None:
    assert build(write_peptide("HIS"), ph=4.0).protonation[0].form == "HIP"
    assert build(write_peptide("HIS", zinc_at="NE2"), ph=4.0).protonation[0].form == "HID"


def test_a_wish_that_puts_hydrogen_on_a_binding_nitrogen_is_refused(write_peptide: WritePeptide) -> None:
    with pytest.raises(PreparationError, match=r"hydrogen HE2 of HIS A:2 is \d\.\d\d Å from ZN A:99"):
        build(write_peptide("HIS", zinc_at="NE2"), variants={"A:2": "HIE"})


def test_a_wish_overrules_the_metal_rule_where_its_hydrogen_keeps_away(
    write_peptide: WritePeptide, tmp_path: Path
) -> None:
    lines = [line for line in write_peptide("ASP").read_text().splitlines() if line != "END"]
    place = {
        line[12:16].strip(): np.array([float(line[at : at + 8]) for at in (30, 38, 46)])
        for line in lines
        if line[17:20] == "ASP"
    }
    x, y, z = place["OD1"] + 2.3 * (place["OD1"] - place["CG"]) / np.linalg.norm(place["OD1"] - place["CG"])
    lines.append(f"HETATM   99 ZN    ZN A  99    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00          ZN")
    path = tmp_path / "asp.pdb"
    path.write_text("\n".join([*lines, "END", ""]))
    by_rule, by_wish = (build(path, ph=3.5, variants=wish).protonation[0] for wish in ({}, {"A:2": "ASH"}))
    assert (by_rule.form, by_rule.reason) == ("ASP", "binds ZN A:99 through OD1")
    assert (by_wish.form, by_wish.reason) == ("ASH", "asked for")


@pytest.mark.parametrize(
    ("residue", "ph", "form", "charge"),
    [
        ("ASP", 7.0, "ASP", -1),
        ("ASP", 3.5, "ASH", 0),
        ("GLU", 3.5, "GLH", 0),
        ("LYS", 7.0, "LYS", 1),
        ("LYS", 11.0, "LYN", 0),
    ],
)
def test_the_form_and_the_charge_follow_the_ph(
    residue: str, ph: float, form: str, charge: int, write_peptide: WritePeptide
) -> None:
    solute = build(write_peptide(residue), ph=ph)
    assert solute.protonation[0].form == form
    assert sum_charge(solute.modeller.topology) == charge


def test_a_form_can_be_asked_for(write_peptide: WritePeptide) -> None:
    solute = build(write_peptide("HIS"), variants={"A:2": "HIP"})
    assert (solute.protonation[0].form, solute.protonation[0].reason) == ("HIP", "asked for")
    assert sum_charge(solute.modeller.topology) == 1


def test_missing_atoms_are_built_and_named(write_peptide: WritePeptide) -> None:
    whole, part = build(write_peptide("PHE")), build(write_peptide("PHE", leave_out=("CZ", "CE1")))
    assert whole.repairs is not None and part.repairs is not None
    assert whole.repairs.atoms_added == {}
    assert {residue: set(atoms) for residue, atoms in part.repairs.atoms_added.items()} == {"PHE A:2": {"CZ", "CE1"}}
    assert part.modeller.topology.getNumAtoms() == whole.modeller.topology.getNumAtoms()


def test_hydrogens_are_bitwise_repeatable_from_the_seed(write_peptide: WritePeptide) -> None:
    path = write_peptide("SER")
    first, again, other = (build(path, seed=seed).modeller.positions for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_a_mirror_image_is_noticed(write_peptide: WritePeptide, tmp_path: Path) -> None:
    path = write_peptide("VAL")
    lines = [
        f"{line[:30]}{-float(line[30:38]):8.3f}{line[38:]}" if line.startswith(("ATOM", "HETATM")) else line
        for line in path.read_text().splitlines()
    ]
    (tmp_path / "mirrored.pdb").write_text("\n".join(lines))
    straight, mirrored = build(path).repairs, build(tmp_path / "mirrored.pdb").repairs
    assert straight is not None and mirrored is not None
    assert straight.warnings == ()
    assert mirrored.warnings == ("VAL A:2 is a D-amino acid in the file",)


def test_a_lacking_cb_is_never_built_on_the_wrong_side(write_peptide: WritePeptide) -> None:
    try:
        modeller = build(write_peptide("ALA", leave_out=("CB",))).modeller
    except PreparationError as error:
        assert "D-amino acid" in str(error)
    else:
        assert list_mirrored_residues(modeller.topology, modeller.positions) == ()


def test_coordinates_of_the_file_stay(write_peptide: WritePeptide) -> None:
    path = write_peptide("VAL")
    modeller = build(path).modeller
    valine = list(modeller.topology.residues())[1]
    kept = {atom.name: modeller.positions[atom.index] for atom in valine.atoms()}
    for line in path.read_text().splitlines():
        if line[:4] == "ATOM" and line[17:20] == "VAL" and line[76:78].strip() != "H":
            place = np.array([float(line[30:38]), float(line[38:46]), float(line[46:54])])
            assert np.array(kept[line[12:16].strip()].value_in_unit(unit.angstrom)) == pytest.approx(place, abs=1e-6)


def test_mmcif_and_pdb_of_one_structure_give_the_same_solute(write_peptide: WritePeptide, tmp_path: Path) -> None:
    path = write_peptide("HIS", zinc_at="NE2")
    pdb = app.PDBFile(str(path))
    with (tmp_path / "his.cif").open("w") as stream:
        app.PDBxFile.writeFile(pdb.topology, pdb.positions, stream, keepIds=True)
    first, second = build(path), build(tmp_path / "his.cif")
    assert first.protonation == second.protonation
    positions = [np.array(solute.modeller.positions.value_in_unit(unit.angstrom)) for solute in (first, second)]
    assert positions[0] == pytest.approx(positions[1], abs=1e-3)


REFUSED = {
    "chain": ({"chains": ("B",)}, "chains names 'B', which the structure does not have; it has A"),
    "residue": ({"variants": {"A:7": "HIP"}}, "variants names residue 'A:7'.*did you mean"),
    "residue of another chain": ({"variants": {"Z:700": "HIP"}}, "write chain:number, the chains are A"),
    "form": ({"variants": {"A:2": "HIQ"}}, "form 'HIQ' of HIS A:2; did you mean 'HI"),
    "formless residue": ({"variants": {"A:1": "HIP"}}, "ACE A:1; only ASP"),
    "added residue": ({"insert_before": {"A:1": "XYZ"}}, "'XYZ', which cannot be built"),
    "place of an added residue": ({"insert_after": {"A:44": "ALA"}}, "insert_after names residue 'A:44'"),
    "heterogen": ({"keep_heterogens": ("CO2",)}, "keep_heterogens names 'CO2'"),
    "location": ({"alternate_locations": {"A:2": "B"}}, "no residue of this file has any"),
}


@pytest.mark.parametrize(("table", "message"), REFUSED.values(), ids=REFUSED)
def test_settings_that_do_not_fit_the_file_are_refused(
    table: dict[str, object], message: str, write_peptide: WritePeptide
) -> None:
    with pytest.raises(PreparationError, match=message) as refusal:
        build(write_peptide("HIS"), **table)
    assert "\n" not in str(refusal.value)


def test_an_element_that_the_model_does_not_know_is_refused_by_name(write_peptide: WritePeptide) -> None:
    known = KnownElements("some-model", frozenset({1, 6, 7, 8}))
    build(write_peptide("HIS"), known=known)
    with pytest.raises(PreparationError, match=r"some-model was not trained on Zn \(in ZN\)"):
        build(write_peptide("HIS", zinc_at="NE2"), known=known)
    with pytest.raises(PreparationError, match=r"not trained on S \(in MET\)"):
        build(write_peptide("MET"), known=known)


BAD_TEXTS = {
    "prose": ("This is not a structure.\n", "holds no atoms|cannot be read"),
    "torn line": ("ATOM      1  N   SER A   7       0.000   0.0", "is the file whole"),
    "unknown residue": (
        "HETATM    1  C1  XYZ A   1       0.000   0.000   0.000  1.00  0.00           C\nEND\n",
        "nothing of the structure is protein",
    ),
}


@pytest.mark.parametrize("name", BAD_TEXTS)
def test_a_file_that_holds_nothing_usable_is_refused(name: str, tmp_path: Path) -> None:
    text, message = BAD_TEXTS[name]
    (tmp_path / "bad.pdb").write_text(text)
    with pytest.raises(PreparationError, match=message):
        build(tmp_path / "bad.pdb")


def test_a_heterogen_without_classical_parameters_is_refused(write_peptide: WritePeptide, tmp_path: Path) -> None:
    extra = "HETATM  100  C1  XYZ A 100      20.000  20.000  20.000  1.00  0.00           C\n"
    path = tmp_path / "ligand.pdb"
    path.write_text(write_peptide("ALA").read_text().replace("END\n", extra + "END\n"))
    repairs = build(path).repairs
    assert repairs is not None and repairs.residues_removed == {"XYZ": 1}
    with pytest.raises(PreparationError, match="amber14 does not know XYZ A:100"):
        build(path, keep_heterogens=("XYZ",))
