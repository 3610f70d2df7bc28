"""Fragments of a protein: whole residues, ends of hydrogen, and the charge of what was taken."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from openmm import Platform, VerletIntegrator, app, unit
from oracles.peptide_lines import build_peptide, format_lines
from pdbfixer import PDBFixer

from orbmm.errors import TrainingError
from orbmm.training.data.fragments import FragmentSource
from orbmm.training.data.frames import Frame

RADIUS = {1: 0.31, 6: 0.76, 7: 0.71, 8: 0.66, 16: 1.05}  # covalent [Å], Cordero 2008
BONDS = {1: (1,), 6: (3, 4), 7: (2, 3, 4), 8: (1, 2), 16: (1, 2)}  # of each element in a protein


def count_bonds(frame: Frame) -> np.ndarray:
    """Return the bonds of each atom (N,), from distances alone."""
    radii = np.array([RADIUS[number] for number in frame.atomic_numbers])
    distances = np.linalg.norm(frame.positions[:, None] - frame.positions[None], axis=-1)
    return ((distances < radii[:, None] + radii[None] + 0.35) & (distances > 0)).sum(axis=1)


def has_open_bonds(frame: Frame) -> bool:
    """Return True if some atom has a number of bonds that its element does not have."""
    return any(
        count not in BONDS[number] for number, count in zip(frame.atomic_numbers, count_bonds(frame), strict=True)
    )


REFERENCE = Platform.getPlatform("Reference")
SEQUENCE = ("GLY", "LYS", "PRO", "ASP", "GLY", "PHE", "PRO", "ARG", "ALA", "GLU", "SER")
CHARGES = {"LYS": 1, "ARG": 1, "ASP": -1, "GLU": -1}


@pytest.fixture(scope="module")
def peptide() -> tuple[FragmentSource, np.ndarray]:
    """An extended peptide with its hydrogens, and its positions [Å]."""
    return complete("\n".join([*format_lines(build_peptide(SEQUENCE)), "END", ""]))


def complete(pdb: str) -> tuple[FragmentSource, np.ndarray]:
    """Return a protein with all side chains and hydrogens."""
    fixer = PDBFixer(pdbfile=io.StringIO(pdb), platform=REFERENCE)
    fixer.removeHeterogens(keepWater=False)
    fixer.missingResidues = {}
    fixer.findMissingAtoms()
    fixer.addMissingAtoms(seed=1)
    modeller = app.Modeller(fixer.topology, fixer.positions)
    field = app.ForceField("amber14-all.xml")
    modeller.addHydrogens(field, platform=REFERENCE)
    integrator = VerletIntegrator(0.001)
    simulation = app.Simulation(modeller.topology, field.createSystem(modeller.topology), integrator, REFERENCE)
    simulation.context.setPositions(modeller.positions)
    simulation.minimizeEnergy(maxIterations=100)
    relaxed = simulation.context.getState(positions=True).getPositions(asNumpy=True)
    return FragmentSource.of(modeller.topology), np.array(relaxed.value_in_unit(unit.angstrom))


@pytest.mark.parametrize("center", range(len(SEQUENCE)))
def test_every_atom_of_a_fragment_has_the_bonds_of_its_element(
    peptide: tuple[FragmentSource, np.ndarray], center: int
) -> None:
    source, positions = peptide
    frame = source.cut(positions, None, center, largest=40)
    assert not has_open_bonds(frame)
    assert len(frame.atomic_numbers) < len(positions)


def test_a_fragment_without_ends_is_found_by_its_open_bonds(peptide: tuple[FragmentSource, np.ndarray]) -> None:
    source, positions = peptide
    atoms = [atom.index for atom in list(source.residues[4].atoms())]
    numbers = np.array([source.atoms[index].element.atomic_number for index in atoms])
    bare = Frame(numbers, positions[atoms], None, np.ones(len(atoms), dtype=bool), "bare")
    assert has_open_bonds(bare)


@pytest.mark.parametrize("center", range(len(SEQUENCE)))
def test_charge_is_that_of_the_side_chains_and_ends_inside(
    peptide: tuple[FragmentSource, np.ndarray], center: int
) -> None:
    source, positions = peptide
    frame = source.cut(positions, None, center, largest=40)
    wanted = 0
    for residue in source.residues:
        name = {"LYS": "NZ", "ARG": "CZ", "ASP": "CG", "GLU": "CD"}.get(residue.name, "CA")
        marker = next(atom.index for atom in residue.atoms() if atom.name == name)
        if is_inside(frame, positions[marker] - positions[0], positions, source):
            wanted += CHARGES.get(residue.name, 0)
    ends = [is_inside(frame, positions[source_index(source, place, name)] - positions[0], positions, source)
            for place, name in ((0, "N"), (len(SEQUENCE) - 1, "OXT"))]  # fmt: skip
    assert frame.charge == wanted + int(ends[0]) - int(ends[1])
    assert (frame.atomic_numbers.sum() - frame.charge) % 2 == 0


def source_index(source: FragmentSource, residue: int, name: str) -> int:
    """Return the index of an atom by its name."""
    return next(atom.index for atom in source.residues[residue].atoms() if atom.name == name)


def is_inside(frame: Frame, offset: np.ndarray, positions: np.ndarray, source: FragmentSource) -> bool:
    """Return True if a fragment holds the atom at this offset from the first atom of the peptide.

    The fragment is centred on its atoms: the shift is found from the most common difference to the whole.
    """
    differences = (positions[:, None] - frame.positions[None]).reshape(-1, 3).round(4)
    values, counts = np.unique(differences, axis=0, return_counts=True)
    shift = values[counts.argmax()]
    return bool((np.linalg.norm(frame.positions + shift - (positions[0] + offset), axis=1) < 1e-3).any())


def test_a_fragment_across_the_box_is_the_one_inside(peptide: tuple[FragmentSource, np.ndarray]) -> None:
    source, positions = peptide
    cell = np.diag([60.0, 60.0, 60.0])
    moved = positions.copy()
    moved[source.residue_of_atom >= 6] += cell[0]
    inside, across = (source.cut(places, cell, 5) for places in (positions, moved))
    assert np.allclose(inside.positions, across.positions, atol=1e-9)
    apart = source.cut(moved, None, 5)
    assert len(apart.atomic_numbers) != len(inside.atomic_numbers) or has_open_bonds(apart)


def test_disulfides_stay_whole(shared_structures: Path) -> None:
    source, positions = complete((shared_structures / "1crn.pdb").read_text())
    center = next(residue.index for residue in source.residues if residue.id == "3")
    frame = source.cut(positions, None, center, largest=60)
    sulfur = frame.positions[frame.atomic_numbers == 16]
    distances = np.linalg.norm(sulfur[:, None] - sulfur[None], axis=-1)
    assert len(sulfur) >= 2
    assert (((distances > 0) & (distances < 2.3)).sum(axis=1) == 1).all()
    assert not has_open_bonds(frame)


def test_a_residue_that_does_not_exist_is_refused(peptide: tuple[FragmentSource, np.ndarray]) -> None:
    with pytest.raises(TrainingError, match="residue 99 does not exist: the system has 11 residues"):
        peptide[0].cut(peptide[1], None, 99)
