"""Trajectories read in chunks, and files that are no whole trajectory."""

from __future__ import annotations

import struct
from pathlib import Path

import mdtraj as md
import numpy as np
import pytest
from analysis.synthetic import Jiggle, make_trajectory

from orbmm.analysis.reading.frames import TrajectoryFile, read_chunks, read_times
from orbmm.errors import AnalysisError

FORMATS = ("xtc", "dcd")


def save(folder: Path, trajectory: md.Trajectory, file_format: str) -> TrajectoryFile:
    path = folder / f"trajectory.{file_format}"
    trajectory.save(str(path))
    return TrajectoryFile(path, trajectory.topology, periodic=True)


def read_all(frames: TrajectoryFile) -> None:
    for _ in read_chunks(frames):
        pass


@pytest.mark.parametrize("file_format", FORMATS)
def test_chunks_are_the_frames_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_format: str) -> None:
    trajectory = make_trajectory(Jiggle(frames=10))
    frames = save(tmp_path, trajectory, file_format)
    monkeypatch.setattr("orbmm.analysis.reading.frames._ATOMS_PER_CHUNK", 4 * trajectory.n_atoms)
    for atoms in (None, np.arange(22)):
        chunks = list(read_chunks(frames, atoms))
        expected = trajectory.xyz if atoms is None else trajectory.xyz[:, atoms]
        assert [chunk.n_frames for chunk in chunks] == [4, 4, 2]
        np.testing.assert_allclose(np.concatenate([chunk.xyz for chunk in chunks]), expected, atol=6e-4)


def test_times_of_xtc_come_without_rounding_noise(tmp_path: Path) -> None:
    (chunk,) = read_chunks(save(tmp_path, make_trajectory(Jiggle(frames=4)), "xtc"))
    assert read_times(chunk).tolist() == [0.0, 0.01, 0.02, 0.03]


def test_times_of_dcd_come_from_its_header(tmp_path: Path) -> None:
    frames = save(tmp_path, make_trajectory(Jiggle(frames=4)), "dcd")
    content = bytearray(frames.path.read_bytes())
    struct.pack_into("<2i", content, 12, 100, 20)  # first step, steps between frames
    struct.pack_into("<f", content, 44, 0.0005 / 0.04888821)  # time step in CHARMM's unit
    frames.path.write_bytes(content)
    (chunk,) = read_chunks(frames)
    np.testing.assert_allclose(read_times(chunk), [0.05, 0.06, 0.07, 0.08], rtol=1e-5)


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_torn_file_is_refused_with_its_whole_frames(tmp_path: Path, file_format: str) -> None:
    frames = save(tmp_path, make_trajectory(Jiggle(frames=10)), file_format)
    frames.path.write_bytes(frames.path.read_bytes()[:-50])
    with pytest.raises(AnalysisError, match=r"torn after frame 9; keep the 9 whole frames"):
        read_all(frames)


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("content", [b"", b"\0" * 20, b"no trajectory " * 100], ids=["empty", "stub", "text"])
def test_what_is_no_trajectory_is_refused(tmp_path: Path, file_format: str, content: bytes) -> None:
    frames = save(tmp_path, make_trajectory(Jiggle(frames=2)), file_format)
    frames.path.write_bytes(content)
    with pytest.raises(AnalysisError, match=f"trajectory.{file_format}: "):
        read_all(frames)


@pytest.mark.parametrize("file_format", FORMATS)
def test_other_atoms_than_the_topology_are_refused(tmp_path: Path, file_format: str) -> None:
    frames = save(tmp_path, make_trajectory(Jiggle(frames=2)), file_format)
    other = TrajectoryFile(frames.path, make_trajectory(Jiggle(frames=2)).topology.subset(range(100)), periodic=True)
    with pytest.raises(AnalysisError, match="has 202 atoms a frame, but the topology 100"):
        read_all(other)


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_missing_box_is_refused_only_where_there_should_be_one(tmp_path: Path, file_format: str) -> None:
    trajectory = make_trajectory(Jiggle(frames=2))
    trajectory.unitcell_vectors = None
    frames = save(tmp_path, trajectory, file_format)
    with pytest.raises(AnalysisError, match="the box is missing"):
        read_all(frames)
    read_all(TrajectoryFile(frames.path, frames.topology, periodic=False))


def test_coordinates_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    trajectory = make_trajectory(Jiggle(frames=6))
    trajectory.xyz[3, 5] = np.nan
    with pytest.raises(AnalysisError, match="frame 4 has coordinates that are not finite"):
        read_all(save(tmp_path, trajectory, "dcd"))


def test_the_readers_of_mdtraj_stay_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    read_all(save(tmp_path, make_trajectory(Jiggle(frames=2)), "dcd"))
    capfd.readouterr()
    read_all(TrajectoryFile(tmp_path / "trajectory.dcd", make_trajectory(Jiggle(frames=2)).topology, periodic=True))
    assert capfd.readouterr() == ("", "")
