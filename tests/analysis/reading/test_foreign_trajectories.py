"""Trajectories of other programs: the same numbers whatever file they come in."""

from __future__ import annotations

from pathlib import Path

import mdtraj as md
import numpy as np
import pytest
from analysis.synthetic import Jiggle, make_trajectory

from orbmm.analysis import analyze_recording, compute_bonds, compute_rmsd, read_plain_trajectory
from orbmm.analysis.reading.frames import TrajectoryFile
from orbmm.analysis.reading.run_folder import read_structure
from orbmm.errors import AnalysisError

MOVING = make_trajectory(Jiggle(frames=8, shake_nm=0.004), waters=30)
EXPECTED = compute_rmsd(MOVING, MOVING[0])
PRECISION = {"gro": 0.02, "xtc": 0.02, "pdb": 0.01}  # angstrom: half a unit of the last digit, on both sides


@pytest.fixture(scope="module")
def topology(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("topology") / "start.pdb"
    MOVING[0].make_molecules_whole().save(str(path))
    return path


@pytest.mark.filterwarnings("ignore:.*netCDF4:UserWarning")  # SciPy reads such files as well
@pytest.mark.parametrize("kind", ["xtc", "trr", "gro", "dcd", "nc", "lammpstrj", "pdb"])
def test_gromacs_lammps_amber_and_namd_files_give_the_same_numbers(tmp_path: Path, topology: Path, kind: str) -> None:
    MOVING.save(str(tmp_path / f"moving.{kind}"))
    recording = read_plain_trajectory(tmp_path / f"moving.{kind}", topology)
    results = analyze_recording(recording).results
    atol = PRECISION.get(kind, 5e-3)
    np.testing.assert_allclose(results["rmsd"].values["backbone"], EXPECTED.values["backbone"], atol=atol)
    assert results["density"].number("density_mean") == pytest.approx(
        measure_density(MOVING), rel=1e-3
    )  # so the box came along
    assert results["bonds"].number("broken_ever") == 0 and results["rmsd"].frames == 8


def measure_density(trajectory: md.Trajectory) -> float:
    return float(md.density(trajectory)[0] / 1000.0)


def test_a_topology_of_gromacs_has_the_bonds_of_standard_residues(tmp_path: Path) -> None:
    MOVING[0].make_molecules_whole().save_gro(str(tmp_path / "start.gro"))
    MOVING.save_xtc(str(tmp_path / "moving.xtc"))
    recording = read_plain_trajectory(tmp_path / "moving.xtc", tmp_path / "start.gro")
    assert compute_bonds(recording.frames, recording.start).number("bonds") == 21 + 2 * 30


HDF5_NAMES = ("frames.h5", "frames.HDF5", "frames.lh5")


@pytest.mark.parametrize("name", HDF5_NAMES)
def test_hdf5_is_refused_before_its_reader_can_unpickle(name: str, repository: Path, tmp_path: Path) -> None:
    structure = repository / "systems" / "alanine-dipeptide" / "alanine-dipeptide.pdb"
    path = tmp_path / name
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    start = read_structure(structure)
    with pytest.raises(AnalysisError, match="HDF5 is not read"):
        next(TrajectoryFile(path, start.topology, periodic=True).read_chunks())
    with pytest.raises(AnalysisError, match="HDF5 is not read"):
        read_structure(path)
    with pytest.raises(AnalysisError, match="HDF5 is not read"):
        read_structure(tmp_path / name.replace("frames", "missing"))
