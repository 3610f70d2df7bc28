"""B-factors of a crystal go to the residues of the same chain, number and name."""

from __future__ import annotations

from pathlib import Path

import mdtraj as md
import numpy as np
import pytest
from analysis.backbone import grow_backbone

from orbmm.analysis import compute_crystal_rmsd, compute_rmsf, read_b_factors

RESIDUES = 6
FIRST, SECOND = 0.2 + 0.1 * np.arange(RESIDUES), 1.2 + 0.1 * np.arange(RESIDUES)  # fluctuations of two chains [Å]


def make_dimer(letters: str = "AB", frames: int = 12, names: str = "ALA") -> md.Trajectory:
    """Two equal helices 3 nm apart, each a chain, that shake a little."""
    helix = grow_backbone(-57.0, -47.0, residues=RESIDUES)
    topology = md.Topology()
    for letter in letters:
        chain = topology.add_chain(letter)
        for residue in helix.topology.residues:
            copy = topology.add_residue("ALA", chain, resSeq=residue.resSeq + 1)
            for atom in residue.atoms:
                topology.add_atom(atom.name, atom.element, copy)
    topology.create_standard_bonds()
    for residue in topology.residues:
        residue.name = names
    xyz = np.concatenate([helix.xyz[0] + [3.0 * number, 0.0, 0.0] for number in range(len(letters))])
    shaken = xyz + 0.01 * np.random.default_rng(0).normal(size=(frames, *xyz.shape))
    return md.Trajectory(shaken, topology, time=np.arange(frames))


def write_crystal(path: Path, letters: str, fluctuations: list[np.ndarray], names: str = "ALA") -> Path:
    """Write a PDB file whose B-factors are those of isotropic fluctuations [Å] of each residue, chain by chain."""
    factors = 8.0 * np.pi**2 / 3.0 * np.concatenate(fluctuations) ** 2
    make_dimer(letters, 1, names).save_pdb(str(path), bfactors=np.repeat(factors, 4))
    return path


def read_crystal(dimer: md.Trajectory, path: Path) -> np.ndarray:
    return compute_rmsf(dimer, read_b_factors(path)).values["crystal"]


def test_each_chain_of_a_homodimer_has_the_b_factors_of_its_own(tmp_path: Path) -> None:
    crystal = write_crystal(tmp_path / "crystal.pdb", "AB", [FIRST, SECOND])
    np.testing.assert_allclose(read_crystal(make_dimer("AB"), crystal), [*FIRST, *SECOND], atol=0.003)  # two decimals
    np.testing.assert_allclose(read_crystal(make_dimer("BA"), crystal), [*SECOND, *FIRST], atol=0.003)


def test_one_chain_of_a_crystal_is_found_by_its_letter(tmp_path: Path) -> None:
    crystal = write_crystal(tmp_path / "crystal.pdb", "AB", [FIRST, SECOND])
    np.testing.assert_allclose(read_crystal(make_dimer("B"), crystal), SECOND, atol=0.003)


def test_chains_with_other_letters_go_in_order(tmp_path: Path) -> None:
    crystal = write_crystal(tmp_path / "crystal.pdb", "HL", [FIRST, SECOND])
    np.testing.assert_allclose(read_crystal(make_dimer("AB"), crystal), [*FIRST, *SECOND], atol=0.003)


def test_one_chain_of_a_crystal_stands_for_all_copies_of_it(tmp_path: Path) -> None:
    crystal = write_crystal(tmp_path / "crystal.pdb", "A", [FIRST])
    np.testing.assert_allclose(read_crystal(make_dimer("AB"), crystal), [*FIRST, *FIRST], atol=0.003)


def test_modified_residues_and_protonation_states_are_their_amino_acids(tmp_path: Path) -> None:
    crystal = write_crystal(tmp_path / "crystal.pdb", "A", [FIRST], "HIS")
    np.testing.assert_allclose(read_crystal(make_dimer("A", names="HIE"), crystal), FIRST, atol=0.003)
    assert np.isnan(read_crystal(make_dimer("A", names="GLY"), crystal)).all()


def test_the_deviation_from_a_crystal_is_that_from_the_chain_of_the_same_letter() -> None:
    crystal = make_dimer("AB", 1)
    crystal.xyz[:, RESIDUES * 4 :, 2] *= 1.5  # another shape of chain B
    second = crystal.atom_slice(np.arange(RESIDUES * 4, 2 * RESIDUES * 4))
    assert compute_crystal_rmsd(second, crystal).number("backbone_last") == pytest.approx(0.0, abs=1e-3)
    first = crystal.atom_slice(np.arange(RESIDUES * 4))
    assert compute_crystal_rmsd(first, crystal).number("backbone_last") == pytest.approx(0.0, abs=1e-3)
