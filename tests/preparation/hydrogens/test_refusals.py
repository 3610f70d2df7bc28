"""What cannot be protonated is named by chain and number, with a remedy that exists."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from openmm import unit
from oracles.peptide_lines import Atom, build_peptide, format_lines

from orbmm.errors import PreparationError
from orbmm.preparation.solute import Solute

BuildSolute = Callable[..., Solute]


def put_zinc_beside(residue: str, carbon: str, oxygen: str, build: BuildSolute) -> list[str]:
    """A peptide whose middle residue has a zinc in line with its C-O bond, 2.0 Å from the oxygen."""
    modeller = build(format_lines(build_peptide(["ALA", residue, "ALA"]))).modeller
    places = np.array(modeller.positions.value_in_unit(unit.angstrom))
    heavy: list[Atom] = [
        (int(atom.residue.id), atom.residue.name, atom.name, places[atom.index])
        for atom in modeller.topology.atoms()
        if atom.element.symbol != "H"
    ]
    at = {name: place for number, _, name, place in heavy if number == 2}
    outward = at[oxygen] - at[carbon]
    zinc = at[oxygen] + 2.0 * outward / np.linalg.norm(outward)
    (line,) = format_lines([(90, "ZN", "ZN", zinc)], record="HETATM", serial=90)
    return [*format_lines(heavy), "TER", f"{line[:12]}ZN  {line[16:76]}ZN"]


@pytest.mark.parametrize(("residue", "carbon", "oxygen"), [("TYR", "CZ", "OH"), ("SER", "CB", "OG")])
def test_a_residue_without_other_forms_is_not_told_to_take_one(
    residue: str, carbon: str, oxygen: str, build: BuildSolute
) -> None:
    with pytest.raises(PreparationError, match=rf"of {residue} A:2 is .* from ZN A:90") as refusal:
        build(put_zinc_beside(residue, carbon, oxygen, build))
    assert f"amber14 has no {residue} without that hydrogen" in str(refusal.value)
    assert "variants" not in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_single_amino_acid_is_named_with_its_remedy(build: BuildSolute) -> None:
    chain, alone = build_peptide(["ALA"] * 3), build_peptide(["GLY"], first=7)
    lines = [*format_lines(chain), "TER", *format_lines([(n, r, a, p + 30.0) for n, r, a, p in alone], "B")]
    with pytest.raises(PreparationError, match="GLY B:7 is a chain of its own, and amber14 has no single residues"):
        build(lines)
    capped = build(lines, insert_before={"B:7": "ACE"}, insert_after={"B:7": "NME"})
    assert [residue.name for residue in capped.modeller.topology.residues()][-3:] == ["ACE", "GLY", "NME"]


def test_a_residue_with_an_atom_too_many_is_named_by_chain_and_number(build: BuildSolute) -> None:
    atoms = build_peptide(["ALA"] * 4, first=41)
    atoms.insert(10, (42, "ALA", "XX", atoms[9][3] + [0.0, 0.0, 1.5]))
    lines = [f"{line[:76]} C" if " XX " in line else line for line in format_lines(atoms, "Q")]
    with pytest.raises(PreparationError, match=r"amber14 does not know ALA Q:42 with its atoms and bonds") as refusal:
        build(lines)
    assert "residue 1" not in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_residue_of_the_sequence_that_cannot_be_built_is_named_with_its_place(build: BuildSolute) -> None:
    atoms = [atom for atom in build_peptide(["ALA"] * 6) if atom[0] not in (3, 4)]
    header = "SEQRES   1 A    6  ALA ALA CRO ALA ALA ALA"
    with pytest.raises(PreparationError, match="sequence has CRO ALA before ALA A:5 without coordinates, and CRO"):
        build([header, *format_lines(atoms)])
    named = build([header, *format_lines(atoms)], insert_before={"A:5": "GLY ALA"})
    assert named.repairs.residues_added == ("GLY ALA before ALA A:5",)


def test_one_that_is_missing_at_an_end_hinders_nothing(build: BuildSolute) -> None:
    solute = build(["SEQRES   1 A    4  CRO ALA ALA ALA", *format_lines(build_peptide(["ALA"] * 3, first=2))])
    assert solute.repairs.residues_added == ()
    assert "CRO before ALA A:2, but no coordinates of them: left out" in solute.repairs.warnings[0]
