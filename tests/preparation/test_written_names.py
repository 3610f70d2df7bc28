"""A structure is written in a format that holds its names and numbers, and is read back as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from openmm import Vec3, app, unit
from oracles.peptide_lines import build_peptide, format_cif, format_lines

from orbmm.preparation.prepare import prepare_system
from orbmm.preparation.solute import Solute
from orbmm.preparation.write import fits_pdb, format_structure
from orbmm.settings.preparation import PreparationSettings
from orbmm.settings.system import SystemSettings

BuildSolute = Callable[..., Solute]
ALA = build_peptide(["ALA"] * 4)
Names = list[tuple[str, str, str, str]]


def name_atoms(topology: app.Topology) -> Names:
    return [(a.residue.chain.id, a.residue.id, a.residue.name, a.name) for a in topology.atoms()]


def write_and_read(solute: Solute) -> tuple[app.Topology, str]:
    """Write what a solute is, in a box, as write_prepared does, and read it with OpenMM."""
    topology = solute.modeller.topology
    topology.setPeriodicBoxVectors(np.eye(3) * 5.0 * unit.nanometer)
    suffix = ".pdb" if fits_pdb(topology) else ".cif"
    text = format_structure(topology, solute.modeller.positions, suffix)
    path = Path(solute.origin).with_name(f"written{suffix}")
    path.write_text(text)
    read = app.PDBFile(str(path)) if suffix == ".pdb" else app.PDBxFile(str(path))
    return read.topology, suffix


def renumber(first: int, chain: str) -> str:
    """An mmCIF whose author's numbers begin there, with a second chain of usual names."""
    text = format_cif([*format_lines(ALA, "A"), *format_lines([(n, r, a, p + 20.0) for n, r, a, p in ALA], "B")], "A")
    rows = []
    for row in text.splitlines():
        parts = row.split()
        if row.startswith("ATOM") and parts[15] == "B":
            parts[13], parts[15], parts[6] = str(int(parts[13]) + first - 1), chain, "B"
        rows.append(" ".join(parts))
    return "\n".join([*rows, ""])


CASES = {"usual": (1, "B", ".pdb"), "number 12000": (12000, "B", ".cif"), "two letters": (1, "BB", ".cif")}


@pytest.mark.parametrize(("first", "chain", "suffix"), CASES.values(), ids=CASES)
def test_names_and_numbers_come_back_unchanged(first: int, chain: str, suffix: str, build: BuildSolute) -> None:
    solute = build(renumber(first, chain))
    topology, written = write_and_read(solute)
    assert written == suffix
    assert name_atoms(topology) == name_atoms(solute.modeller.topology)
    assert {name[:2] for name in name_atoms(topology) if name[0] == chain} == {
        (chain, str(first + n)) for n in range(4)
    }


@pytest.mark.parametrize(("shift", "suffix"), [(0, ".pdb"), (12000, ".cif")], ids=["pdb", "cif"])
def test_a_gap_stays_one_in_the_file_that_is_written(shift: int, suffix: str, build: BuildSolute) -> None:
    eight = [atom for atom in build_peptide(["ALA"] * 8) if atom[0] not in (4, 5)]
    water = format_lines([(101, "HOH", "O", np.array([0.0, 0.0, 9.0]))], "W", "HETATM", serial=90)
    rows = [row.split() for row in format_cif([*format_lines(eight), *water], "A").splitlines()]
    rows = [[*row[:13], str(int(row[13]) + shift), *row[14:]] if row[:1] == ["ATOM"] else row for row in rows]
    solute = build("\n".join([*(" ".join(row) for row in rows), ""]))
    topology, written = write_and_read(solute)
    assert written == suffix
    assert [len(list(chain.residues())) for chain in topology.chains()] == [3, 3, 1]
    assert name_atoms(topology) == name_atoms(solute.modeller.topology)
    assert topology.getNumBonds() == solute.modeller.topology.getNumBonds()


def test_solvent_of_many_chains_still_fits_a_pdb_file(tmp_path: Path) -> None:
    zinc = [format_lines([(n, "NA", "NA", np.array([6.0 * n, 0, 0]))], chr(64 + n), "HETATM")[0] for n in range(1, 11)]
    (tmp_path / "ions.pdb").write_text("\n".join([*(f"{line[:12]}NA  {line[16:76]}NA" for line in zinc), "END", ""]))
    system = SystemSettings(name="x", source=str(tmp_path / "ions.pdb"), padding_nm=0.5)
    prepared = prepare_system(system, PreparationSettings(minimization_steps=2, equilibration_ps=0.0))
    assert fits_pdb(prepared.topology)
    assert len({chain.id for chain in prepared.topology.chains()}) == prepared.topology.getNumChains() == 12


def test_the_ring_of_a_cyclic_peptide_is_in_the_file(build: BuildSolute) -> None:
    solute = build(format_lines(ALA))
    before = solute.modeller.topology.getNumBonds()
    ends = {atom.name: atom for atom in solute.modeller.topology.atoms() if atom.residue.id == "1"}
    last = {atom.name: atom for atom in solute.modeller.topology.atoms() if atom.residue.id == "4"}
    assert write_and_read(solute)[0].getNumBonds() == before
    solute.modeller.topology.addBond(ends["N"], last["C"])
    assert write_and_read(solute)[0].getNumBonds() == before + 1
    assert isinstance(solute.modeller.positions[0].value_in_unit(unit.nanometer), Vec3)


def test_a_chain_without_a_name_is_named_in_an_mmcif(build: BuildSolute) -> None:
    solute = build(format_lines(ALA, " "))
    text = format_structure(solute.modeller.topology, solute.modeller.positions, ".cif")
    (Path(solute.origin).with_name("blank.cif")).write_text(text)
    read = app.PDBxFile(str(Path(solute.origin).with_name("blank.cif")))
    assert [chain.id for chain in read.topology.chains()] == ["a"]
    assert read.topology.getNumBonds() == solute.modeller.topology.getNumBonds()
