"""Names of force fields are read as the residues they stand for, and the protonation state that they name is kept."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from oracles.peptide_lines import build_peptide, format_cif, format_lines

from orbmm.errors import PreparationError
from orbmm.preparation.force_field import sum_charge
from orbmm.preparation.solute import Solute

BuildSolute = Callable[..., Solute]
# Name: the residue, its form, and what it adds to the charge of a peptide.
NAMES = {
    "HID": ("HIS", "HID", 0), "HSD": ("HIS", "HID", 0), "HISD": ("HIS", "HID", 0),
    "HIE": ("HIS", "HIE", 0), "HSE": ("HIS", "HIE", 0), "HISE": ("HIS", "HIE", 0),
    "HIP": ("HIS", "HIP", 1), "HSP": ("HIS", "HIP", 1), "HISH": ("HIS", "HIP", 1),
    "ASH": ("ASP", "ASH", 0), "ASPP": ("ASP", "ASH", 0), "GLH": ("GLU", "GLH", 0), "GLUP": ("GLU", "GLH", 0),
    "LYN": ("LYS", "LYN", 0), "LSN": ("LYS", "LYN", 0), "CYSH": ("CYS", "CYS", 0), "CYM": ("CYS", "CYM", -1),
}  # fmt: skip


def name_second(name: str, residues: int = 3) -> list[str]:
    return format_lines(build_peptide(["ALA", name, *["ALA"] * (residues - 2)]))


@pytest.mark.parametrize("name", NAMES)
def test_the_state_that_a_name_states_is_kept(name: str, build: BuildSolute) -> None:
    parent, form, charge = NAMES[name]
    solute = build(name_second(name))
    assert [residue.name for residue in solute.modeller.topology.residues()] == ["ALA", parent, "ALA"]
    (protonation,) = solute.protonation
    assert (protonation.residue, protonation.form) == (f"{parent} A:2", form)
    assert protonation.reason == f"named {name} in the file"
    assert sum_charge(solute.modeller.topology) == charge


@pytest.mark.parametrize(("name", "charge"), [("HIS", 0), ("ASP", -1), ("GLU", -1), ("LYS", 1), ("CYS", 0)])
def test_a_name_that_states_nothing_leaves_the_state_to_the_ph(name: str, charge: int, build: BuildSolute) -> None:
    solute = build(name_second(name))
    assert solute.protonation[0].reason.startswith("pH 7")
    assert sum_charge(solute.modeller.topology) == charge


def test_a_name_holds_at_any_ph_and_gives_way_to_what_is_asked_for(build: BuildSolute) -> None:
    assert build(name_second("HSE"), ph=3.0).protonation[0].form == "HIE"
    (asked,) = build(name_second("HSE"), variants={"A:2": "HIP"}).protonation
    assert (asked.form, asked.reason) == ("HIP", "asked for; the file names it HSE")


def test_a_metal_overrules_the_name_and_the_record_says_so(build: BuildSolute) -> None:
    place = build(name_second("HIS")).modeller
    at = {atom.name: place.positions[atom.index]._value for atom in place.topology.atoms() if atom.residue.id == "2"}
    outward = 2 * np.array(at["NE2"]) - at["CE1"] - at["CD2"]
    zinc = 10 * np.array(at["NE2"]) + 2.1 * outward / np.linalg.norm(outward)
    histidine = [(2, "HIE", name, 10 * np.array(xyz)) for name, xyz in at.items() if not name.startswith("H")]
    atoms = build_peptide(["ALA", "HIE", "ALA"])
    first, last = [a for a in atoms if a[0] == 1], [a for a in atoms if a[0] == 3]
    (line,) = format_lines([(90, "ZN", "ZN", zinc)], record="HETATM", serial=90)
    (entry,) = build([*format_lines([*first, *histidine, *last]), "TER", f"{line[:12]}ZN  {line[16:76]}ZN"]).protonation
    assert (entry.form, entry.reason) == ("HID", "binds ZN A:90 through NE2; the file names it HIE")


def test_a_cystine_name_without_a_partner_is_a_cysteine_and_the_record_says_so(build: BuildSolute) -> None:
    for name in ("CYX", "CYS2"):
        (entry,) = build(name_second(name)).protonation
        assert (entry.form, entry.reason) == ("CYS", f"pH 7; the file names it {name}")


def test_the_first_and_last_residue_of_amber_are_known(build: BuildSolute) -> None:
    plain = build(format_lines(build_peptide(["MET", "ALA", "GLU"])))
    amber = build(format_lines(build_peptide(["NMET", "ALA", "CGLU"])))
    assert [a.name for a in amber.modeller.topology.atoms()] == [a.name for a in plain.modeller.topology.atoms()]
    assert sum_charge(amber.modeller.topology) == sum_charge(plain.modeller.topology) == -1
    assert amber.repairs.residues_removed == {}


def test_names_in_an_mmcif_are_read_alike(build: BuildSolute) -> None:
    for name in ("HSP", "LYN", "HIS"):
        from_pdb, from_cif = build(name_second(name)), build(format_cif(name_second(name), "A"))
        assert from_cif.protonation == from_pdb.protonation
        assert from_cif.modeller.topology.getNumAtoms() == from_pdb.modeller.topology.getNumAtoms()


def test_a_sequence_in_the_names_of_a_force_field_is_compared(build: BuildSolute) -> None:
    atoms = [atom for atom in build_peptide(["ALA", "HSE", "ALA", "ALA", "ALA", "ALA"]) if atom[0] not in (3, 4)]
    solute = build(["SEQRES   1 A    6  ALA HSE ALA ALA ALA ALA", *format_lines(atoms)])
    assert solute.repairs.residues_added == ("ALA ALA before ALA A:5",)


@pytest.mark.parametrize(
    ("header", "name"),
    [([], "MSE"), (["MODRES 9XXX MLZ A    2  LYS"], "MLZ")],
    ids=["known to PDBFixer", "known by MODRES"],
)
def test_a_modified_residue_does_not_hide_a_gap(header: list[str], name: str, build: BuildSolute) -> None:
    residues = ["ALA", name, "ALA", "ALA", "ALA", "ALA"]
    atoms = [atom for atom in build_peptide(residues) if atom[0] not in (4, 5)]
    solute = build([f"SEQRES   1 A    6  {' '.join(residues)}", *header, *format_lines(atoms)])
    assert solute.repairs.residues_added == ("ALA ALA before ALA A:6",)
    assert solute.modeller.topology.getNumChains() == 1 and solute.repairs.warnings == ()


@pytest.mark.parametrize(("name", "atom"), [("HSE", "OG"), ("HIP", "P")], ids=["homoserine", "phosphohistidine"])
def test_a_component_of_the_same_name_is_no_histidine(name: str, atom: str, build: BuildSolute) -> None:
    atoms = build_peptide(["ALA", name, "ALA"])
    atoms.insert(10, (2, name, atom, atoms[9][3] + [0.0, 1.5, 0.0]))
    with pytest.raises(PreparationError, match=r"H\w+ A:2"):
        build(format_lines(atoms))
