"""Bonds that a file states are in the finished structure, or are refused or spoken of by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from openmm import unit
from oracles.peptide_lines import Atom, build_peptide, format_cif, format_lines, turn_over

from orbmm.errors import PreparationError
from orbmm.preparation.force_field import sum_charge
from orbmm.preparation.solute import Solute

BuildSolute = Callable[..., Solute]
THREE = build_peptide(["ALA", "CYS", "ALA"])
BRIDGE = "SSBOND   1 CYS A    2    CYS B    2                          1555   1555  2.05"


def find(atoms: list[Atom], number: int, name: str) -> np.ndarray:
    return next(place for at, _, atom, place in atoms if (at, atom) == (number, name))


def build_bridge(length: float, leave_out: str = "") -> list[str]:
    """Two chains whose cysteines face each other, their sulfurs so far apart [Å]."""
    alpha, beta = find(THREE, 2, "CA"), find(THREE, 2, "CB")
    outward = beta - alpha
    outward[2] = 0.0
    outward /= np.linalg.norm(outward)
    sulfur = beta + 1.81 * outward
    chain = [*THREE[:10], (2, "CYS", "SG", sulfur), *THREE[10:]]
    other = turn_over(chain, sulfur + 0.5 * length * outward)
    given = [atom for atom in chain if atom[2] != leave_out]
    return [*format_lines(given), "TER", *format_lines(other, "B", serial=101), "TER"]


def list_bridges(solute: Solute) -> list[tuple[str, ...]]:
    bonds = solute.modeller.topology.bonds()
    return [tuple(sorted(atom.residue.chain.id for atom in bond)) for bond in bonds if {a.name for a in bond} == {"SG"}]


@pytest.mark.parametrize("leave_out", ["", "OXT"], ids=["complete", "an atom is missing"])
def test_a_long_disulfide_is_kept_by_its_record_alone(leave_out: str, build: BuildSolute) -> None:
    lines = build_bridge(3.2, leave_out)
    solute = build([BRIDGE, *lines])
    assert list_bridges(solute) == [("A", "B")]
    assert [entry.form for entry in solute.protonation] == ["CYX", "CYX"]
    assert list_bridges(build(lines)) == []  # without the record nothing says so


def test_a_disulfide_of_usual_length_needs_no_record(build: BuildSolute) -> None:
    assert list_bridges(build(build_bridge(2.05))) == [("A", "B")]


def test_a_stated_disulfide_that_is_too_long_is_spoken_of(build: BuildSolute) -> None:
    solute = build([BRIDGE, *build_bridge(6.0)])
    assert list_bridges(solute) == []
    assert solute.repairs.warnings == (
        "SSBOND joins SG of CYS A:2 and SG of CYS B:2, which are 6.00 Å apart: not bonded",
    )


def test_a_bond_to_a_copy_in_the_crystal_is_spoken_of(build: BuildSolute) -> None:
    (warning,) = build([BRIDGE.replace("1555   1555", "1555   3655"), *build_bridge(9.0)]).repairs.warnings
    assert "of a copy in the crystal, which is not built: not bonded" in warning


def test_the_disulfide_of_an_mmcif_is_kept(build: BuildSolute) -> None:
    names = ["id", "conn_type_id"] + [f"ptnr{n}_auth_{name}" for n in (1, 2) for name in ("asym_id", "seq_id")]
    names += [f"ptnr{n}_label_atom_id" for n in (1, 2)]
    row = "d1 disulf A 2 B 2 SG SG"
    lines = [line for line in build_bridge(3.2) if line != "TER"]
    table = "\n".join(["loop_", *(f"_struct_conn.{name}" for name in names), row, "#"])
    assert list_bridges(build(format_cif(lines[:17], "A", table) + format_rows(lines[17:]))) == [("A", "B")]


def format_rows(lines: list[str]) -> str:
    return "".join(f"{row}\n" for row in format_cif(lines, "B").splitlines() if row.startswith("ATOM"))


def test_a_bond_between_side_chains_that_the_force_field_lacks_is_refused(build: BuildSolute) -> None:
    atoms = build_peptide(["LYS", "ALA", "ALA", "ALA", "ASP"])
    nitrogen, carbon = np.array([-3.0, -6.0, 0.0]), np.array([-3.0, -7.34, 0.0])
    atoms = sorted([*atoms, (1, "LYS", "NZ", nitrogen), (5, "ASP", "CG", carbon)], key=lambda atom: atom[0])
    lines = format_lines(atoms)
    link = "LINK         NZ  LYS A   1                 CG  ASP A   5     1555   1555  1.34"
    with pytest.raises(
        PreparationError, match=r"LINK joins NZ of LYS A:1 and CG of ASP A:5; .*amber14 has no such bond"
    ):
        build([link, *lines])
    serials = [next(line[6:11] for line in lines if line[12:16].strip() == name) for name in ("NZ", "CG")]
    with pytest.raises(PreparationError, match="CONECT joins NZ of LYS A:1 and CG of ASP A:5"):
        build([*lines, f"CONECT{serials[0]}{serials[1]}"])


def test_the_bond_to_a_sugar_that_is_left_out_is_spoken_of(build: BuildSolute) -> None:
    sugar = format_lines([(90, "NAG", "C1", find(THREE, 2, "CB") + [0, 0, 1.5])], record="HETATM", serial=90)
    link = "LINK         CB  CYS A   2                 C1  NAG A  90     1555   1555  1.44"
    (warning,) = build([link, *format_lines(THREE), "TER", *sugar]).repairs.warnings
    assert warning == "LINK joins CB of CYS A:2 to C1 of A:90, which is not in the box: this bond is lost"


def test_the_bonds_of_a_metal_are_left_to_its_site(build: BuildSolute) -> None:
    zinc = format_lines([(90, "ZN", "ZN", find(THREE, 3, "O") + [0, 0, 2.1])], record="HETATM", serial=90)
    zinc = [f"{line[:12]}ZN  {line[16:76]}ZN" for line in zinc]
    link = "LINK         O   ALA A   3                ZN    ZN A  90     1555   1555  2.10"
    solute = build([link, *format_lines(THREE), "TER", *zinc])
    assert solute.repairs.warnings == ()
    assert "O" in [ligand.name for ligand in solute.metal_sites[0].ligands]


def build_ring(residues: int = 8) -> list[Atom]:
    """Glycines around an axis: ends meet as neighbours do, though no real ring is so flat."""
    names = (("N", -0.62, 0.0), ("CA", 0.55, 0.55), ("C", 1.85, -0.25), ("O", 1.95, -1.48))
    radius = 3.62 / (2 * np.sin(np.pi / residues))
    atoms = []
    for number in range(1, residues + 1):
        angle = 2 * np.pi * number / residues
        turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        atoms += [
            (number, "GLY", name, turn @ np.array([0, along, z]) + turn @ [radius, 0, 0]) for name, along, z in names
        ]
    return atoms


def test_a_cyclic_peptide_stays_closed_and_has_no_charged_ends(build: BuildSolute) -> None:
    ring = build_ring()
    length = np.linalg.norm(find(ring, 1, "N") - find(ring, 8, "C"))
    assert length < 2.0
    solute = build(format_lines(ring))
    topology = solute.modeller.topology
    assert topology.getNumAtoms() == 8 * 7
    assert sum({a.name for a in bond} == {"N", "C"} for bond in topology.bonds()) == 8
    assert sum_charge(topology) == 0
    assert "GLY A:1 and GLY A:8 are bonded: a cyclic peptide" in solute.repairs.warnings
    open_chain = build(format_lines(build_peptide(["GLY"] * 8)))
    assert open_chain.modeller.topology.getNumAtoms() == 8 * 7 + 3
    assert np.isfinite(np.array(open_chain.modeller.positions.value_in_unit(unit.nanometer))).all()
