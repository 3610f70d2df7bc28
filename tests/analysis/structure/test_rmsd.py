"""RMSD against rigid motion and against a superposition written another way."""

from __future__ import annotations

import mdtraj as md
import numpy as np
import pytest
from analysis.backbone import grow_backbone
from analysis.synthetic import SKEWED, Jiggle, add_box, make_box, make_trajectory, wrap
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from orbmm.analysis import compute_rmsd
from orbmm.analysis.result import NothingToMeasure
from orbmm.errors import AnalysisError

ROUNDING = 2e-3  # angstrom: mdtraj superposes in float32


def superpose(moved: NDArray[np.float64], start: NDArray[np.float64]) -> float:
    """RMSD [Å] after the best rotation, by SciPy in float64."""
    moved, start = 10.0 * (moved - moved.mean(axis=0)), 10.0 * (start - start.mean(axis=0))
    rotation, _ = Rotation.align_vectors(start, moved)
    return float(np.sqrt(((rotation.apply(moved) - start) ** 2).sum(axis=1).mean()))


def rotate_rigidly(frames: int, box: NDArray[np.float64]) -> md.Trajectory:
    """The box of `make_box`, turned and moved as a whole, every atom wrapped by itself."""
    start = make_box(10, box)
    turns = Rotation.random(frames, rng=1)
    moves = np.random.default_rng(1).normal(size=(frames, 3))
    xyz = np.stack([turn.apply(start.xyz[0]) + move for turn, move in zip(turns, moves, strict=True)])
    return add_box(md.Trajectory(wrap(xyz, box), start.topology), box)


def test_a_rotating_rigid_body_has_no_rmsd() -> None:
    result = compute_rmsd(rotate_rigidly(30, SKEWED), make_box(10, SKEWED))
    assert result.values["backbone"].max() < ROUNDING
    assert result.values["heavy_atoms"].max() < ROUNDING


def test_a_mirror_image_has_an_rmsd() -> None:
    start = make_box(10)
    mirrored = add_box(md.Trajectory(start.xyz * [[-1.0, 1.0, 1.0]], start.topology), start.unitcell_vectors[0])
    assert compute_rmsd(mirrored, start).number("heavy_atoms_largest") > 0.3


def test_the_rmsd_is_that_of_another_superposition() -> None:
    moving = make_trajectory(Jiggle(frames=10, shake_nm=0.01, box=SKEWED))
    heavy = moving.topology.select("element != H and not water")
    whole = moving.make_molecules_whole().xyz.astype(float)
    expected = [superpose(frame[heavy], whole[0][heavy]) for frame in whole]
    np.testing.assert_allclose(compute_rmsd(moving).values["heavy_atoms"], expected, atol=ROUNDING)
    assert max(expected) > 0.1


def test_summary_numbers_are_those_of_the_columns() -> None:
    result = compute_rmsd(make_trajectory(Jiggle(frames=10, shake_nm=0.01)))
    column = result.values["backbone"]
    assert result.number("backbone_largest") == column.max()
    assert result.number("backbone_mean") == pytest.approx(column.mean())
    assert result.number("backbone_last") == column[-1]
    assert result.frames == 10 and result.units["backbone"] == "angstrom"


def test_a_reference_of_other_atoms_is_refused() -> None:
    with pytest.raises(AnalysisError, match="52 atoms and the trajectory 202"):
        compute_rmsd(make_trajectory(Jiggle(frames=2)), make_box(10))


def test_pure_water_has_no_rmsd() -> None:
    with pytest.raises(NothingToMeasure, match="no molecule but water"):
        compute_rmsd(make_box(10).atom_slice(range(22, 52)))


def test_a_long_fibre_is_measured_in_double_precision() -> None:
    """60 nm long; mdtraj's own number is off by more than 0.001 Å, ours by what float32 positions are."""
    strand = grow_backbone(-120.0, 120.0, residues=180)
    rng, turns = np.random.default_rng(2), Rotation.random(6, rng=4)
    shaken = strand.xyz[0].astype(float) + 0.03 * rng.normal(size=(6, strand.n_atoms, 3))
    moved = md.Trajectory(
        np.stack([turn.apply(each) for turn, each in zip(turns, shaken, strict=True)]), strand.topology
    )
    expected = np.array([superpose(each.astype(float), strand.xyz[0].astype(float)) for each in moved.xyz])
    np.testing.assert_allclose(compute_rmsd(moved, strand).values["backbone"], expected, atol=1e-6)
    assert np.abs(10.0 * md.rmsd(moved, strand) - expected).max() > 1e-3  # the control: what single precision gives
