"""Gyration, fluctuation, secondary structure, contacts and torsions of structures whose values are known."""

from __future__ import annotations

import os
from pathlib import Path

import mdtraj as md
import numpy as np
import pytest
from analysis.backbone import grow_backbone
from analysis.synthetic import SKEWED, Jiggle, make_box, make_trajectory

from orbmm.analysis import (
    compute_native_contacts,
    compute_radius_of_gyration,
    compute_ramachandran,
    compute_rmsf,
    compute_secondary_structure,
    read_b_factors,
)
from orbmm.analysis.reading.run_folder import read_structure
from orbmm.analysis.result import NothingToMeasure
from orbmm.errors import AnalysisError

HELIX, SHEET = (-57.0, -47.0), (-123.0, 133.0)
ROUNDING = 2e-3  # angstrom, of float32 coordinates in nm


def repeat(frame: md.Trajectory, frames: int) -> md.Trajectory:
    return md.Trajectory(np.repeat(frame.xyz, frames, axis=0), frame.topology, time=0.01 * np.arange(frames))


def test_the_radius_of_gyration_is_that_of_its_definition() -> None:
    moving = make_trajectory(Jiggle(frames=10, shake_nm=0.01, box=SKEWED))
    whole = moving.make_molecules_whole().xyz[:, :22].astype(float)
    masses = np.array([atom.element.mass for atom in list(moving.topology.atoms)[:22]])
    centre = (whole * masses[:, None]).sum(axis=1, keepdims=True) / masses.sum()
    expected = np.sqrt((((whole - centre) ** 2).sum(axis=2) * masses).sum(axis=1) / masses.sum()) * 10.0
    np.testing.assert_allclose(compute_radius_of_gyration(moving).values["radius"], expected, atol=ROUNDING)


def test_a_molecule_twice_as_large_has_twice_the_radius() -> None:
    small = grow_backbone(*HELIX)
    large = md.Trajectory(2.0 * small.xyz, small.topology)
    ratio = compute_radius_of_gyration(large).number("radius_mean") / compute_radius_of_gyration(small).number(
        "radius_mean"
    )
    assert ratio == pytest.approx(2.0, rel=1e-5)


def test_fluctuation_of_independent_noise_is_its_width() -> None:
    still = repeat(grow_backbone(*HELIX, residues=60), 2000)
    still.xyz += 0.01 * np.random.default_rng(0).normal(size=still.xyz.shape)
    result = compute_rmsf(still)
    lost = 1.0 - 6.0 / (3 * 60)  # superposition takes six degrees of freedom from the 60 C-alpha atoms
    assert np.mean(result.values["rmsf"] ** 2) == pytest.approx(3.0 * 0.1**2 * lost, rel=0.01)
    assert len(result.values["rmsf"]) == 60


def test_tumbling_is_no_fluctuation_and_one_loose_residue_is_found() -> None:
    tumbling = make_trajectory(Jiggle(frames=30, shake_nm=0.0))
    assert compute_rmsf(tumbling).number("rmsf_largest") < ROUNDING
    loose = repeat(grow_backbone(*HELIX, residues=40), 100)
    loose.xyz[:, 4 * 7 : 4 * 8, 2] += 0.1 * np.sin(np.arange(100))[:, None]
    result = compute_rmsf(loose)
    assert result.values["name"][np.argmax(result.values["rmsf"])] == str(list(loose.topology.residues)[7])
    assert result.number("rmsf_largest") == pytest.approx(1.0 / np.sqrt(2.0), rel=0.1)


def test_fluctuation_of_one_frame_or_of_none_is_refused() -> None:
    with pytest.raises(NothingToMeasure, match="at least two frames"):
        compute_rmsf(make_box())
    with pytest.raises(AnalysisError, match="discard less"):
        compute_rmsf(make_trajectory(Jiggle(frames=3)), discard_ps=9.0)


def test_b_factors_stand_beside_the_fluctuation(tmp_path: Path) -> None:
    moving = repeat(grow_backbone(*HELIX, residues=8), 20)
    moving.xyz += 0.01 * np.random.default_rng(0).normal(size=moving.xyz.shape)
    factors = 8.0 * np.pi**2 / 3.0 * np.arange(1.0, 9.0) ** 2 / 100.0
    moving[0].save_pdb(str(tmp_path / "crystal.pdb"), bfactors=np.repeat(factors, 4))
    crystal = compute_rmsf(moving, read_b_factors(tmp_path / "crystal.pdb")).values["crystal"]
    np.testing.assert_allclose(crystal, 0.1 * np.arange(1.0, 9.0), atol=0.003)  # a PDB keeps two decimals


def test_a_file_without_b_factors_is_refused(tmp_path: Path) -> None:
    grow_backbone(*HELIX).save_pdb(str(tmp_path / "model.pdb"))
    with pytest.raises(AnalysisError, match="has no B-factors"):
        read_b_factors(tmp_path / "model.pdb")
    with pytest.raises(AnalysisError, match="cannot be read as a crystal structure"):
        read_b_factors(tmp_path / "nothing.pdb")
    os.mkfifo(tmp_path / "pipe.pdb")
    with pytest.raises(AnalysisError, match="cannot be read as a crystal structure"):
        read_b_factors(tmp_path / "pipe.pdb")


def test_a_grown_helix_is_a_helix_and_a_lone_strand_is_none() -> None:
    helix = compute_secondary_structure(repeat(grow_backbone(*HELIX), 3))
    assert helix.values["helix"].tolist() == [14 / 16] * 3
    assert helix.values["per_residue"][:, 0].tolist() == [0.0] + [1.0] * 14 + [0.0]
    assert compute_secondary_structure(grow_backbone(*SHEET)).number("coil_mean") == 1.0


def test_a_helix_that_melts_is_seen() -> None:
    start, end = grow_backbone(*HELIX), grow_backbone(*SHEET)
    melting = md.Trajectory(np.concatenate([start.xyz, start.xyz, end.xyz]), start.topology)
    result = compute_secondary_structure(melting)
    assert result.values["helix"].tolist() == [14 / 16, 14 / 16, 0.0]
    assert result.number("helix_start") == 14 / 16 and result.number("helix_last") == 0.0


def test_villin_has_the_helices_that_its_entry_states(shared_structures: Path) -> None:
    path = shared_structures / "1vii.pdb"
    records = [line for line in path.read_text().splitlines() if line.startswith("HELIX")]
    inner = {i for line in records for i in range(int(line[21:25]) + 1, int(line[33:37]))}
    villin = read_structure(path)
    helical = compute_secondary_structure(villin).values["per_residue"][:, 0]
    found = {residue.resSeq for residue, part in zip(villin.topology.residues, helical, strict=True) if part == 1.0}
    assert len(inner) > 10 and len(inner & found) >= 0.8 * len(inner)


def test_a_dipeptide_has_neither_secondary_structure_nor_contacts() -> None:
    with pytest.raises(NothingToMeasure, match="^1 amino acid; it takes at least 4$"):
        compute_secondary_structure(make_box())
    with pytest.raises(NothingToMeasure, match="no residues four or more apart touch"):
        compute_native_contacts(make_box())


def test_contacts_are_those_of_all_pairs() -> None:
    moving = repeat(grow_backbone(*HELIX), 5)
    moving.xyz += 0.05 * np.random.default_rng(1).normal(size=moving.xyz.shape)
    residue = np.array([atom.residue.index for atom in moving.topology.atoms])
    distances = np.linalg.norm(moving.xyz[:, :, None] - moving.xyz[:, None], axis=3).astype(float)  # (F, A, A)
    first, second = np.nonzero((distances[0] <= 0.45) & (residue - residue[:, None] >= 4))
    stretch = distances[:, first, second] - 1.8 * distances[0, first, second]
    result = compute_native_contacts(moving)
    assert result.number("contacts") == len(first) > 20
    np.testing.assert_allclose(result.values["kept"], (1.0 / (1.0 + np.exp(50.0 * stretch))).mean(axis=1), rtol=1e-4)


def test_contacts_of_the_start_are_kept_and_those_of_an_unfolded_chain_lost() -> None:
    start, end = grow_backbone(*HELIX), grow_backbone(*SHEET)
    result = compute_native_contacts(md.Trajectory(np.concatenate([start.xyz, end.xyz]), start.topology))
    assert result.values["kept"][0] > 0.999 and result.values["kept"][1] < 0.05


@pytest.mark.parametrize(("angles", "region"), [(HELIX, "alpha"), (SHEET, "beta"), ((57.0, 47.0), "left")])
def test_torsions_fall_where_the_chain_was_grown(angles: tuple[float, float], region: str) -> None:
    result = compute_ramachandran(repeat(grow_backbone(*angles), 2))
    assert result.number(f"{region}_mean") == 1.0 and result.number("residues") == 14
    histogram = result.values["histogram"]
    row, column = (int((angle + 180.0) // 10.0) for angle in angles)
    assert histogram[row, column] == histogram.sum() == 28


def test_the_torsions_of_a_capped_residue_are_found() -> None:
    result = compute_ramachandran(make_trajectory(Jiggle(frames=4)))
    assert result.number("residues") == 1 and result.values["histogram"].sum() == 4


@pytest.mark.parametrize(
    "measure", [compute_radius_of_gyration, compute_rmsf, compute_native_contacts, compute_ramachandran]
)
def test_pure_water_has_no_shape(measure) -> None:
    with pytest.raises(NothingToMeasure, match="^(there is no molecule but water|no residue has both torsions)"):
        measure(make_box(10).atom_slice(range(22, 52)))
