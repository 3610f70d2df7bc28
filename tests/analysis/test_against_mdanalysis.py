"""The same observables by MDAnalysis, which shares no code with mdtraj."""

from __future__ import annotations

import os
from pathlib import Path

import mdtraj as md
import numpy as np
import pytest
from analysis.backbone import grow_backbone
from analysis.synthetic import Jiggle, make_trajectory

from orbmm.analysis import (
    compute_angles,
    compute_radius_of_gyration,
    compute_ramachandran,
    compute_rdf_oo,
    compute_rmsd,
    compute_rmsf,
)
from orbmm.analysis.structure.ramachandran import BIN_DEGREES

if os.environ.get("ORBMM_EXPECT_ORACLE") != "1":
    pytest.importorskip("MDAnalysis", reason="MDAnalysis is not installed")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of MDAnalysis about its own future
    pytest.mark.filterwarnings("ignore::UserWarning"),  # about elements and charges that a PDB lacks
]
ROUNDING = 3e-3  # angstrom: single precision on both sides


def open_universe(folder: Path, trajectory: md.Trajectory):
    """The same atoms and frames, through files that both read."""
    from MDAnalysis import Universe

    trajectory[0].save_pdb(str(folder / "start.pdb"))
    trajectory.save_dcd(str(folder / "moving.dcd"))
    return Universe(str(folder / "start.pdb"), str(folder / "moving.dcd"))


def shake_helix(frames: int = 12) -> md.Trajectory:
    helix = grow_backbone(-57.0, -47.0)
    noise = np.random.default_rng(5).normal(size=(frames, helix.n_atoms, 3))
    noise[0] = 0.0
    return md.Trajectory(helix.xyz + 0.02 * noise, helix.topology, time=np.arange(frames))


def test_deviation_from_the_start(tmp_path: Path) -> None:
    from MDAnalysis.analysis.rms import RMSD

    moving = shake_helix()
    oracle = RMSD(open_universe(tmp_path, moving), select="backbone").run().results.rmsd[:, 2]
    found = compute_rmsd(moving).values["backbone"]
    np.testing.assert_allclose(found[1:], oracle[1:], atol=ROUNDING)
    assert found[0] < 5e-3 and oracle[1:].min() > 0.2  # the start against itself: the root of a rounding error


def test_fluctuation_about_the_mean(tmp_path: Path) -> None:
    from MDAnalysis.analysis.align import AlignTraj, AverageStructure
    from MDAnalysis.analysis.rms import RMSF

    moving = shake_helix(40)
    universe = open_universe(tmp_path, moving)
    mean = AverageStructure(universe, universe, select="name CA", ref_frame=0).run().results.universe
    AlignTraj(universe, mean, select="name CA", in_memory=True).run()
    oracle = RMSF(universe.select_atoms("name CA")).run().results.rmsf
    np.testing.assert_allclose(compute_rmsf(moving).values["rmsf"], oracle, atol=ROUNDING)


def test_radius_of_gyration(tmp_path: Path) -> None:
    moving = shake_helix()
    universe = open_universe(tmp_path, moving)
    oracle = [universe.atoms.radius_of_gyration() for _ in universe.trajectory]
    np.testing.assert_allclose(compute_radius_of_gyration(moving).values["radius"], oracle, atol=ROUNDING)


def test_torsions_of_the_backbone(tmp_path: Path) -> None:
    from MDAnalysis.analysis.dihedrals import Ramachandran

    moving = shake_helix()
    universe = open_universe(tmp_path, moving)
    angles = Ramachandran(universe.select_atoms("resid 1:14")).run().results.angles  # (F, R, 2)
    edges = np.arange(-180.0, 180.1, BIN_DEGREES)
    oracle = np.histogram2d(angles[..., 0].ravel(), angles[..., 1].ravel(), bins=(edges, edges))[0]
    found = compute_ramachandran(moving).values["histogram"]
    assert found.sum() == oracle.sum() == 14 * 12
    assert np.abs(found - oracle).sum() <= 4  # an angle on the edge of a bin may fall on either side


def test_radial_distribution_of_water(tmp_path: Path) -> None:
    from MDAnalysis.analysis.rdf import InterRDF

    moving = make_trajectory(Jiggle(frames=10), waters=60)
    result = compute_rdf_oo(moving)
    oxygens = open_universe(tmp_path, moving).select_atoms("resname HOH and name O")
    end = result.values["radius"][-1] + 0.025
    bins = len(result.values["radius"])
    oracle = InterRDF(oxygens, oxygens, nbins=bins, range=(0.0, end), exclusion_block=(1, 1)).run().results
    np.testing.assert_allclose(result.values["radius"], oracle.bins, atol=1e-6)
    off = np.abs(result.values["ratio"] - oracle.rdf)
    assert np.count_nonzero(off > 1e-3) <= 2  # a distance on the edge of a bin may fall on either side
    assert oracle.rdf.max() > 1.5


def test_bond_angles_across_the_walls(tmp_path: Path) -> None:
    from MDAnalysis.lib.distances import calc_angles

    moving = make_trajectory(Jiggle(frames=4, shake_nm=0.004), waters=20)
    universe, result = open_universe(tmp_path, moving), compute_angles(moving)
    first = None
    for frame, _ in enumerate(universe.trajectory):
        positions = universe.atoms.positions[result.values["atoms"]]  # (A, 3, 3)
        angles = np.degrees(calc_angles(*positions.transpose(1, 0, 2), box=universe.dimensions))
        first = angles if first is None else first
        expected = np.sqrt(((angles - first) ** 2).mean())
        assert result.values["change"][frame] == pytest.approx(expected, abs=0.02)
