"""Amino acids that are built are left-handed; those of the file are judged apart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from openmm import unit
from oracles.peptide_lines import Atom, build_peptide, format_lines

from orbmm.preparation.solute import Solute

BuildSolute = Callable[..., Solute]
SIX = build_peptide(["ALA", "VAL", "ALA", "VAL", "ALA", "VAL"])
SEQUENCE = "SEQRES   1 A    6  ALA VAL ALA VAL ALA VAL"


def measure_volumes(solute: Solute) -> dict[int, float]:
    """The triple product of N, C and CB seen from CA [Å^3], positive in L-amino acids: +2.6 in ideal geometry."""
    places = np.array(solute.modeller.positions.value_in_unit(unit.angstrom))
    volumes = {}
    for number, residue in enumerate(solute.modeller.topology.residues(), start=1):
        atoms = {atom.name: places[atom.index] for atom in residue.atoms()}
        volumes[number] = float(np.linalg.det([atoms[name] - atoms["CA"] for name in ("N", "C", "CB")]))
    return volumes


def leave_out(*gone: tuple[int, str]) -> list[Atom]:
    return [atom for atom in SIX if (atom[0], atom[2]) not in gone]


MISSING = {
    "nothing": (),
    "CB": tuple((number, "CB") for number in range(1, 7)),
    "N of the first": ((1, "N"),),
    "CA": ((3, "CA"), (6, "CA")),
    "N within the chain": ((4, "N"),),
    "C within the chain": ((4, "C"), (4, "O")),
    "all but N of the last": tuple((6, name) for name in ("CA", "C", "O", "CB", "OXT")),
    "all but N and CA of the last": tuple((6, name) for name in ("C", "O", "CB", "OXT")),
}


@pytest.mark.parametrize("gone", MISSING.values(), ids=MISSING)
@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_built_is_left_handed(gone: tuple[tuple[int, str], ...], seed: int, build: BuildSolute) -> None:
    solute = build(format_lines(leave_out(*gone)), seed=seed)
    volumes = measure_volumes(solute)
    assert len(volumes) == 6 and min(volumes.values()) > 1.0, volumes
    assert not any("D-amino acid" in warning for warning in solute.repairs.warnings)


@pytest.mark.parametrize("gap", [(3,), (3, 4), (2, 3, 4, 5)])
def test_residues_built_in_a_gap_are_left_handed(gap: tuple[int, ...], build: BuildSolute) -> None:
    given = format_lines([atom for atom in SIX if atom[0] not in gap])
    for seed in (1, 2, 3):
        solute = build([SEQUENCE, *given], seed=seed)
        assert min(measure_volumes(solute).values()) > 1.0
        assert solute.repairs.warnings == ()


def test_a_mirror_image_in_the_file_stays_and_is_spoken_of(build: BuildSolute) -> None:
    mirrored = [(number, residue, name, place * [1, 1, -1]) for number, residue, name, place in SIX]
    solute = build(format_lines(mirrored))
    assert max(measure_volumes(solute).values()) < -1.0
    assert "VAL A:2 is a D-amino acid in the file" in solute.repairs.warnings
