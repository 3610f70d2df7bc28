"""What is odd about a structure file is said in our words; what cannot be known is left out by name."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from openmm import unit

from orbmm.preparation.hydrogens.metal_sites import find_metal_sites
from orbmm.preparation.repair.repair import Repairs
from orbmm.preparation.solute import Solute, build_solute
from orbmm.settings.preparation import PreparationSettings
from orbmm.settings.system import SystemSettings

WritePeptide = Callable[..., Path]
Change = Callable[[list[str]], list[str]]


def build(path: Path) -> tuple[Solute, Repairs]:
    """The solute and its repairs; a warning of OpenMM's own would be an error here."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solute = build_solute(SystemSettings(name="x", source=str(path)), PreparationSettings(), None)
    assert solute.repairs is not None
    return solute, solute.repairs


@pytest.fixture
def change(write_peptide: WritePeptide, tmp_path: Path) -> Callable[[Change], Path]:
    """change(function of the lines) -> path of a capped alanine whose lines were changed."""

    def write(alter: Change) -> Path:
        lines = [line for line in write_peptide("ALA").read_text().splitlines() if line.startswith(("ATOM", "HETATM"))]
        path = tmp_path / "changed.pdb"
        path.write_text("\n".join([*alter(lines), "END", ""]))
        return path

    return write


def write_ion(name: str, residue: str, element: str = "") -> str:
    return f"HETATM  900 {name:4s} {residue:3s} A 324      20.000  20.000  20.000  1.00  0.00          {element:>2s}"


@pytest.mark.parametrize("residue", ["UNX", "UNL"])
def test_an_unidentified_atom_is_no_metal_and_left_out_by_name(residue: str, change: Callable[[Change], Path]) -> None:
    path = change(lambda lines: [*lines, write_ion(" UNK", residue, "X")])
    solute, repairs = build(path)
    assert repairs.residues_removed == {residue: 1}
    assert find_metal_sites(solute.modeller.topology, solute.modeller.positions) == ()
    (warning,) = repairs.warnings
    assert warning.startswith(f"{residue} A:324: not identified by those who made the file, left out")


def test_the_unidentified_atom_of_a_real_entry_is_left_out(shared_structures: Path) -> None:
    solute, repairs = build(shared_structures / "5pti.pdb")
    assert repairs.residues_removed == {"PO4": 1, "UNX": 1}
    assert solute.metal_sites == ()
    assert len(solute.protonation) == 6 + 2 + 2 + 4  # CYS, ASP, GLU, LYS


def test_of_an_atom_that_stands_twice_the_last_is_taken_and_spoken_of(change: Callable[[Change], Path]) -> None:
    def repeat_beta(lines: list[str]) -> list[str]:
        at = next(at for at, line in enumerate(lines) if line[12:16] == " CB ")
        x = float(lines[at][30:38])
        return [*lines[: at + 1], f"{lines[at][:30]}{x + 0.3:8.3f}{lines[at][38:]}", *lines[at + 1 :]]

    (once, _), (twice, repairs) = build(change(lambda lines: lines)), build(change(repeat_beta))
    assert repairs.warnings == ("CB of ALA A:2 stands in the file twice: the last is taken",)
    beta = next(atom.index for atom in once.modeller.topology.atoms() if atom.name == "CB")
    shift = twice.modeller.positions[beta] - once.modeller.positions[beta]
    assert shift.value_in_unit(unit.angstrom)[0] == pytest.approx(0.3, abs=1e-3)


def test_two_residues_with_one_number_are_spoken_of(change: Callable[[Change], Path]) -> None:
    _, repairs = build(change(lambda lines: [line.replace("NME A   3", "NME A   2") for line in lines]))
    assert repairs.warnings == ("NME A:2 has the number of the residue before it",)


def test_more_than_a_few_oddities_are_counted(change: Callable[[Change], Path]) -> None:
    _, repairs = build(change(lambda lines: [line for line in lines for _ in range(2)]))
    assert len(repairs.warnings) == 6
    assert repairs.warnings[-1] == "the same of 17 more"


def test_a_rare_oddity_is_not_lost_among_frequent_ones(change: Callable[[Change], Path]) -> None:
    def repeat_and_renumber(lines: list[str]) -> list[str]:
        return [line.replace("NME A   3", "NME A   2") for line in lines for _ in range(2)]

    _, repairs = build(change(repeat_and_renumber))
    assert repairs.warnings[5].startswith("the same of ")
    assert repairs.warnings[6:] == ("NME A:2 has the number of the residue before it",)


def test_a_file_without_elements_is_read_and_the_guess_is_spoken_of(change: Callable[[Change], Path]) -> None:
    def cut(lines: list[str]) -> list[str]:
        return [line[:66] for line in [*lines, write_ion("ZN  ", "ZN")]]

    solute, repairs = build(change(cut))
    (warning,) = repairs.warnings
    assert warning.startswith(
        "23 atoms have no element in columns 77-78 of the file: guessed from their names (ZN A:324 as Zn)"
    )
    assert [site.metal for site in solute.metal_sites] == ["ZN A:324"]


def test_a_wrong_guess_can_be_seen(change: Callable[[Change], Path]) -> None:
    _, repairs = build(change(lambda lines: [*lines, write_ion("FE  ", "FE")]))
    assert repairs.residues_removed == {"FE": 1}
    assert "1 atom has no element" in repairs.warnings[0] and "FE A:324 as F" in repairs.warnings[0]
