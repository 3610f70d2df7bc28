"""A chain ends at a gap and where the polymer ends; no bond of a finished chain is longer than bonds are."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from openmm import app, unit
from oracles.peptide_lines import Atom, build_peptide, format_cif, format_lines
from pdbfixer import PDBFixer

from orbmm.errors import PreparationError
from orbmm.preparation.force_field import sum_charge
from orbmm.preparation.repair.breaks import check_polymer_bonds, split_at_gaps
from orbmm.preparation.solute import Solute

BuildSolute = Callable[..., Solute]
EIGHT = build_peptide(["ALA"] * 8)
SEQUENCE = "SEQRES   1 A    8  ALA ALA ALA ALA ALA ALA ALA ALA"


def drop(atoms: list[Atom], *numbers: int) -> list[Atom]:
    return [atom for atom in atoms if atom[0] not in numbers]


def move(atoms: list[Atom], shift: float, first: int = 1) -> list[Atom]:
    return [(number, residue, name, place + [shift, 0, 0]) for number, residue, name, place in atoms if number >= first]


def measure_joints(solute: Solute) -> list[float]:
    """Every C-N distance between neighbours of a chain [Å], from names and coordinates alone."""
    places = np.array(solute.modeller.positions.value_in_unit(unit.angstrom))
    lengths = []
    for chain in solute.modeller.topology.chains():
        residues = [{atom.name: places[atom.index] for atom in residue.atoms()} for residue in chain.residues()]
        lengths += [
            float(np.linalg.norm(after["N"] - before["C"]))
            for before, after in pairwise(residues)
            if "C" in before and "N" in after
        ]
    return lengths


def count_chains(solute: Solute) -> list[int]:
    return [len(list(chain.residues())) for chain in solute.modeller.topology.chains()]


def test_a_whole_chain_stays_one(build: BuildSolute) -> None:
    solute = build(format_lines(EIGHT))
    assert count_chains(solute) == [8] and solute.repairs.warnings == ()
    assert solute.modeller.topology.getNumAtoms() == 8 * 10 + 3  # H2 and H3 of the first, OXT of the last
    assert measure_joints(solute) == pytest.approx([1.329] * 7, abs=2e-3)


def test_a_gap_without_a_sequence_ends_the_chain_and_is_spoken_of(build: BuildSolute) -> None:
    solute = build(format_lines(drop(EIGHT, 4, 5)))
    assert count_chains(solute) == [3, 3]
    assert measure_joints(solute) == pytest.approx([1.329] * 4, abs=2e-3)
    assert sum(atom.name == "OXT" for atom in solute.modeller.topology.atoms()) == 2
    assert solute.modeller.topology.getNumAtoms() == 2 * (3 * 10 + 3)
    (warning,) = solute.repairs.warnings
    assert warning.startswith("a gap of") and "between ALA A:3 and ALA A:6: the chain ends there" in warning


def test_two_molecules_of_one_chain_name_stay_two(build: BuildSolute) -> None:
    solute = build(format_lines([*EIGHT, *move(EIGHT, 33.0)]))
    assert count_chains(solute) == [8, 8] and max(measure_joints(solute)) < 1.4
    assert {chain.id for chain in solute.modeller.topology.chains()} == {"A"}


def test_a_gap_with_a_sequence_is_built(build: BuildSolute) -> None:
    solute = build([SEQUENCE, *format_lines(drop(EIGHT, 4, 5))])
    assert count_chains(solute) == [8] and max(measure_joints(solute)) < 1.6
    assert solute.repairs.residues_added == ("ALA ALA before ALA A:6",)


def test_residues_that_cannot_reach_over_a_gap_are_refused_by_name(build: BuildSolute) -> None:
    far = [*drop(EIGHT, 4, 5, 6, 7, 8), *move(EIGHT, 40.0, first=6)]
    with pytest.raises(PreparationError, match=r"after repair the bond C-N from ALA A:\d to ALA A:\d is \d+\.\d\d Å"):
        build([SEQUENCE, *format_lines(far)])


def test_neighbours_too_far_for_a_bond_and_too_near_for_a_gap_are_refused(build: BuildSolute) -> None:
    first, second = drop(EIGHT, 5, 6, 7, 8), drop(EIGHT, 1, 2, 3, 4)
    carbonyl, nitrogen = (
        next(a[3] for a in atoms if a[2] == name) for atoms, name in ((first[::-1], "C"), (second, "N"))
    )
    along = (nitrogen - carbonyl) / np.linalg.norm(nitrogen - carbonyl)
    stretched = [(number, residue, name, place + 0.9 * along) for number, residue, name, place in second]
    with pytest.raises(PreparationError, match=r"C-N of ALA A:4 and ALA A:5 are 2\.23 Å apart, too far for a bond"):
        build(format_lines([*first, *stretched]))


@pytest.mark.parametrize("terminator", [[], ["TER"]], ids=["without TER", "with TER"])
def test_a_water_of_the_same_chain_is_not_its_last_residue(terminator: list[str], build: BuildSolute) -> None:
    water = format_lines([(101, "HOH", "O", np.array([0.0, 0.0, 9.0]))], record="HETATM", serial=900)
    solute = build([*format_lines(EIGHT[:-1]), *terminator, *water])
    assert count_chains(solute) == [8, 1]
    assert solute.repairs.atoms_added == {"ALA A:8": ("OXT",)}


def test_an_amino_acid_alone_between_gaps_is_capped_in_good_geometry(build: BuildSolute) -> None:
    solute = build(format_lines(drop(EIGHT, 3, 4, 6)))
    assert count_chains(solute) == [2, 3, 2]
    residues = list(list(solute.modeller.topology.chains())[1].residues())
    assert [residue.name for residue in residues] == ["ACE", "ALA", "NME"]
    places = np.array(solute.modeller.positions.value_in_unit(unit.angstrom))
    caps, alanine, amide = ({atom.name: places[atom.index] for atom in residue.atoms()} for residue in residues)
    distances = {
        "C-N": np.linalg.norm(caps["C"] - alanine["N"]),
        "C-CA": np.linalg.norm(caps["C"] - alanine["CA"]),
        "N-O": np.linalg.norm(amide["N"] - alanine["O"]),
        "N-CA": np.linalg.norm(amide["N"] - alanine["CA"]),
    }
    assert distances == pytest.approx({"C-N": 1.329, "C-CA": 2.435, "N-O": 2.25, "N-CA": 2.425}, abs=0.06)
    assert "ALA A:5 is alone beside a gap: capped with ACE and NME" in solute.repairs.warnings
    assert sum_charge(solute.modeller.topology) == 0


def test_an_unknown_residue_within_a_chain_is_refused_and_never_deleted(build: BuildSolute) -> None:
    strange = [(number, "XYZ" if number == 4 else residue, name, place) for number, residue, name, place in EIGHT]
    with pytest.raises(PreparationError, match="XYZ A:4 belongs to a chain, but is no residue that amber14 knows"):
        build(format_lines(strange))
    with pytest.raises(PreparationError, match="ABC A:8 belongs to a chain"):
        build(format_lines([(n, "ABC" if n == 8 else residue, a, place) for n, residue, a, place in EIGHT]))


def test_an_unknown_residue_beside_a_chain_is_left_out_as_before(build: BuildSolute) -> None:
    ligand = format_lines(move([(90, "XYZ", *atom[2:]) for atom in EIGHT if atom[0] == 1], 30.0), record="HETATM")
    assert build([*format_lines(EIGHT), *ligand]).repairs.residues_removed == {"XYZ": 1}


def test_a_gap_is_built_where_the_author_names_the_chain_otherwise(build: BuildSolute) -> None:
    sequence = "\n".join(
        ["loop_", "_entity_poly_seq.entity_id", "_entity_poly_seq.num", "_entity_poly_seq.mon_id"]
        + [f"1 {number} ALA" for number in range(1, 9)]
        + ["loop_", "_struct_asym.id", "_struct_asym.entity_id", "B 1", "#"]
    )
    for name in ("B", "H"):
        solute = build(format_cif(format_lines(drop(EIGHT, 4, 5), chain=name), "B", sequence))
        assert [chain.id for chain in solute.modeller.topology.chains()] == [name]
        assert solute.repairs.residues_added == (f"ALA ALA before ALA {name}:6",)
        assert max(measure_joints(solute)) < 1.6


def test_a_bond_that_a_relaxation_tore_is_refused(build: BuildSolute) -> None:
    modeller: app.Modeller = build(format_lines(EIGHT)).modeller
    check_polymer_bonds(modeller.topology, modeller.positions, "after relaxation")
    torn = np.array(modeller.positions.value_in_unit(unit.nanometer))
    torn[[atom.index for atom in modeller.topology.atoms() if atom.residue.index > 3]] += 0.5
    with pytest.raises(PreparationError, match="after relaxation the bond C-N from ALA A:4 to ALA A:5 is"):
        check_polymer_bonds(modeller.topology, torn * unit.nanometer, "after relaxation")


def build_strand(step: float, nucleotides: int = 4) -> list[Atom]:
    """Nucleotides of which only the ends matter here: O3' of one and P of the next are `step` apart."""
    names = {"P": 0.0, "OP1": 0.5, "OP2": 0.6, "O5'": 1.6, "C5'": 2.5, "C4'": 3.5, "C3'": 4.6, "O3'": 5.6}
    length = 5.6 + step
    side = {"OP1": 1.4, "OP2": -1.4, "C5'": 0.9, "C3'": 0.8}
    return [
        (number, "DA", name, np.array([length * number + along, side.get(name, 0.0), 0.0]))
        for number in range(1, nucleotides + 1)
        for name, along in names.items()
        if (number, name[:2]) not in {(1, "P"), (1, "OP")}
    ]


@pytest.mark.parametrize(("step", "chains"), [(1.6, [4]), (9.0, [1, 1, 1, 1])])
def test_a_nucleic_acid_ends_at_a_gap_between_o3_and_p(step: float, chains: list[int], build: BuildSolute) -> None:
    fixer = PDBFixer(pdbfile=io.StringIO("\n".join([*format_lines(build_strand(step)), "END", ""])))
    fixer.findMissingResidues()
    sentences = split_at_gaps(fixer)
    assert [len(list(chain.residues())) for chain in fixer.topology.chains()] == chains
    assert [sentence.split(" between")[0] for sentence in sentences[:3]] == [f"a gap of {step:.2f} Å (O3'-P)"] * (
        len(chains) - 1
    )
    assert sum(atom.name == "P" for atom in fixer.topology.atoms()) == (3 if len(chains) == 1 else 0)


def test_what_stands_between_two_bonded_residues_is_refused(build: BuildSolute) -> None:
    lines = format_lines(EIGHT)
    water = format_lines([(101, "HOH", "O", np.array([0.0, 0.0, 9.0]))], record="HETATM", serial=900)
    with pytest.raises(PreparationError, match="HOH A:101 stands in the file between ALA A:4 and ALA A:5"):
        build([*lines[:20], *water, *lines[20:]])


def test_a_residue_in_two_places_of_the_file_is_refused(build: BuildSolute) -> None:
    lines = format_lines(EIGHT)
    with pytest.raises(PreparationError, match="the atoms of ALA A:2 are in two places of the file"):
        build([*lines[:9], *lines[10:], lines[9]])
