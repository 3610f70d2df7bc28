"""One location an atom, the same one for a whole residue."""

from __future__ import annotations

import io

import pytest
from openmm import app

from orbmm.errors import PreparationError
from orbmm.preparation.reading.alternate_locations import choose_locations
from orbmm.preparation.reading.source import StructureFile

# Serine with its side chain in two positions; B has the higher occupancy, and only in part of its atoms.
PDB = """\
ATOM      1  N   SER A   7       0.000   0.000   0.000  1.00 10.00           N
ATOM      2  CA  SER A   7       1.450   0.000   0.000  1.00 10.00           C
ATOM      3  CB ASER A   7       2.000   1.400   0.000  0.40 10.00           C
ATOM      4  CB BSER A   7       2.000  -1.400   0.000  0.60 10.00           C
ANISOU    4  CB BSER A   7      100    100    100      0      0      0       C
ATOM      5  OG ASER A   7       3.400   1.400   0.000  0.40 10.00           O
ATOM      6  OG BSER A   7       3.400  -1.400   0.000  0.40 10.00           O
ATOM      7  O  AHOH A  99       9.000   9.000   9.000  0.50 10.00           O
ATOM      8  O  BHOH A  99       9.500   9.000   9.000  0.50 10.00           O
END
"""


def make_file(text: str = PDB, kind: str = "pdb") -> StructureFile:
    return StructureFile("x", text, kind, f"x.{kind}", "")


def convert_to_cif() -> str:
    """The same atoms as an mmCIF table."""
    names = (
        "group_PDB id type_symbol label_atom_id label_alt_id label_comp_id label_asym_id label_seq_id Cartn_x Cartn_y"
    )
    names += " Cartn_z occupancy auth_seq_id auth_asym_id"
    lines = ["data_x", "loop_", *(f"_atom_site.{name}" for name in names.split())]
    for line in PDB.splitlines():
        if line.startswith("ATOM"):
            x, y, z, occupancy = line[30:38], line[38:46], line[46:54], line[54:60]
            serial, element, number = line[6:11], line[76:78], line[22:26]
            lines.append(
                f"ATOM {serial} {element} {line[12:16]} {line[16].strip() or '.'} {line[17:20]} A {number} "
                f"{x} {y} {z} {occupancy} {number} A"
            )
    return "\n".join([*lines, "#", ""])


def read_heights(file: StructureFile) -> dict[str, float]:
    """The y coordinate of each atom as OpenMM reads the file [nm]."""
    reader = app.PDBFile if file.kind == "pdb" else app.PDBxFile
    structure = reader(io.StringIO(file.text))
    return {atom.name: structure.positions[atom.index].y for atom in structure.topology.atoms()}


@pytest.mark.parametrize("kind", ["pdb", "cif"])
def test_a_residue_takes_its_highest_mean_occupancy(kind: str) -> None:
    file, choices = choose_locations(make_file(PDB if kind == "pdb" else convert_to_cif(), kind), {})
    assert [(choice.residue, choice.chosen) for choice in choices] == [("SER A:7", "B"), ("HOH A:99", "A")]
    assert dict(choices[0].occupancies) == {"A": 0.4, "B": 0.5}
    heights = read_heights(file)
    assert heights["CB"] == heights["OG"] == pytest.approx(-0.14)
    assert heights["CA"] == 0 and len(heights) == 5


@pytest.mark.parametrize("kind", ["pdb", "cif"])
def test_another_location_can_be_asked_for(kind: str) -> None:
    file, choices = choose_locations(make_file(PDB if kind == "pdb" else convert_to_cif(), kind), {"A:7": "A"})
    assert choices[0].chosen == "A"
    assert read_heights(file)["CB"] == read_heights(file)["OG"] == pytest.approx(0.14)


def test_a_file_without_alternates_stays_as_it_is() -> None:
    file = make_file("ATOM      1  N   SER A   7       0.000   0.000   0.000  1.00 10.00           N\nEND\n")
    assert choose_locations(file, {}) == (file, ())


def test_a_location_that_is_not_there_is_refused() -> None:
    with pytest.raises(PreparationError, match="location 'C' of A:7, which has A, B"):
        choose_locations(make_file(), {"A:7": "C"})


def test_a_residue_without_alternates_is_refused() -> None:
    with pytest.raises(PreparationError, match="'A:8', which has no alternate locations; these have: A:7, A:99"):
        choose_locations(make_file(), {"A:8": "A"})


def test_a_file_that_is_no_mmcif_is_refused() -> None:
    with pytest.raises(PreparationError, match="not an mmCIF"):
        choose_locations(make_file("data_x\n_entry.id x\n", "cif"), {})
    with pytest.raises(PreparationError, match="mmCIF"):
        choose_locations(make_file("hello\n", "cif"), {})
