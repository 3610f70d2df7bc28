"""Frames as other programs write them are read right, or refused in one sentence; each beside a control."""

from __future__ import annotations

import struct
from pathlib import Path

import mdtraj as md
import numpy as np
import pytest
from analysis.synthetic import SKEWED, Jiggle, add_box, make_trajectory
from mdtraj.formats import TRRTrajectoryFile, XTCTrajectoryFile
from numpy.typing import NDArray
from scipy.linalg import polar

from orbmm.analysis import compute_bonds, compute_density, judge, read_plain_trajectory
from orbmm.analysis.reading.frames import TrajectoryFile, read_chunks
from orbmm.analysis.verdict import Outcome
from orbmm.errors import AnalysisError

MOVING = make_trajectory(Jiggle(frames=5, shake_nm=0.003, box=SKEWED), waters=8)
BOX_VOLUME = float(np.linalg.det(SKEWED))


def open_file(path: Path, trajectory: md.Trajectory = MOVING, periodic: bool = True) -> TrajectoryFile:
    return TrajectoryFile(path, trajectory.topology, periodic)


def read_whole(frames: TrajectoryFile, atoms: NDArray[np.int64] | None = None) -> md.Trajectory:
    return md.join(list(read_chunks(frames, atoms)))


def write_dcd(path: Path, positions: NDArray, cells: NDArray, order: str = "<") -> None:
    """Write (F, N, 3) [Å] and six numbers of the box for each frame, as CHARMM does."""

    def record(content: bytes) -> bytes:
        length = struct.pack(f"{order}i", len(content))
        return length + content + length

    numbers = [len(positions), 20, 20, 20 * len(positions), 0, 0, 0, 0, 0]
    head = b"CORD" + struct.pack(f"{order}9if10i", *numbers, 0.0005 / 0.04888821, 1, *[0] * 8, 24)
    parts = [record(head), record(struct.pack(f"{order}i", 1) + b" " * 80)]
    parts.append(record(struct.pack(f"{order}i", positions.shape[1])))
    for frame, cell in zip(positions, cells, strict=True):
        parts.append(record(struct.pack(f"{order}6d", *cell)))
        parts += [record(frame[:, axis].astype(f"{order}f4").tobytes()) for axis in range(3)]
    path.write_bytes(b"".join(parts))


def list_cosines() -> NDArray:
    """Return the box of every frame as NAMD writes it: lengths [Å] and cosines."""
    a, b, c = 10.0 * MOVING.unitcell_lengths[0]
    alpha, beta, gamma = np.cos(np.radians(MOVING.unitcell_angles[0]))
    return np.repeat([[a, gamma, b, beta, alpha, c]], MOVING.n_frames, axis=0)


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders_of_dcd_give_the_same_frames_and_times(tmp_path: Path, order: str) -> None:
    path = tmp_path / "moving.dcd"
    write_dcd(path, 10.0 * MOVING.xyz, list_cosines(), order)
    frames = read_whole(open_file(path))
    np.testing.assert_allclose(frames.xyz, MOVING.xyz, atol=1e-5)
    np.testing.assert_allclose(frames.time, [0.01, 0.02, 0.03, 0.04, 0.05], rtol=1e-4)
    assert frames.unitcell_volumes[0] == pytest.approx(BOX_VOLUME, rel=1e-4)


def test_the_symmetric_matrix_of_charmm_becomes_the_box_that_it_is(tmp_path: Path) -> None:
    """The oracle: polar decomposition, rows = symmetric matrix times a rotation, which turns the positions too."""
    turn, symmetric = polar(10.0 * SKEWED, side="left")  # SKEWED = symmetric @ turn
    positions = 10.0 * MOVING.xyz @ turn.T
    xx, xy, yy, xz, yz, zz = symmetric[[0, 0, 1, 0, 1, 2], [0, 1, 1, 2, 2, 2]]
    path = tmp_path / "moving.dcd"
    write_dcd(path, positions, np.repeat([[xx, xy, yy, xz, yz, zz]], len(positions), axis=0))
    frames = read_whole(open_file(path))
    np.testing.assert_allclose(frames.unitcell_vectors[0], SKEWED, atol=1e-4)
    np.testing.assert_allclose(frames.xyz, MOVING.xyz, atol=1e-4)


def test_velocities_alone_are_no_frame(tmp_path: Path) -> None:
    path = tmp_path / "moving.trr"
    box = MOVING.unitcell_vectors
    with TRRTrajectoryFile(str(path), "w") as file:
        file.write(MOVING.xyz, time=MOVING.time.astype(np.float32), box=box)
    content = path.read_bytes()
    size = len(content) // 5
    second = bytearray(content[size : 2 * size])
    numbers = 12 * MOVING.n_atoms
    struct.pack_into(">2i", second, 24 + 28, 0, numbers)  # bytes of positions and of velocities
    path.write_bytes(content[:size] + bytes(second) + content[2 * size :])
    frames = read_whole(open_file(path))
    np.testing.assert_allclose(frames.xyz, MOVING.xyz[[0, 2, 3, 4]], atol=1e-6)
    np.testing.assert_allclose(frames.time, MOVING.time[[0, 2, 3, 4]], atol=1e-6)
    start = tmp_path / "start.pdb"
    MOVING[0].make_molecules_whole().save_pdb(str(start))
    assert read_plain_trajectory(path, start).notes == (
        "1 of 5 frames hold no positions (velocities or forces alone) and are left out",
    )
    path.write_bytes(content)
    assert read_whole(open_file(path)).n_frames == 5 and read_plain_trajectory(path, start).notes == ()


def test_scaled_coordinates_of_lammps_are_fractions_of_the_box(tmp_path: Path) -> None:
    cube = make_trajectory(Jiggle(frames=3), waters=5)
    for columns, scale in (("xs ys zs", 15.0), ("x y z", 1.0)):
        lines = []
        for step, frame in enumerate(10.0 * cube.xyz.astype(float) / scale):
            lines += ["ITEM: TIMESTEP", str(step), "ITEM: NUMBER OF ATOMS", str(cube.n_atoms)]
            lines += ["ITEM: BOX BOUNDS pp pp pp", *["0.0 15.0"] * 3, f"ITEM: ATOMS id type {columns}"]
            lines += [f"{i + 1} 1 {x:.7f} {y:.7f} {z:.7f}" for i, (x, y, z) in enumerate(frame)]
        path = tmp_path / "moving.lammpstrj"
        path.write_text("\n".join(lines) + "\n")
        np.testing.assert_allclose(read_whole(open_file(path, cube)).xyz, cube.xyz, atol=1e-5)


@pytest.mark.parametrize("frame", [0, 3])
def test_a_box_without_volume_in_one_frame_is_refused(tmp_path: Path, frame: int) -> None:
    boxes = MOVING.unitcell_vectors.copy()
    path = tmp_path / "moving.xtc"
    for spoil in (False, True):
        boxes[frame] *= 0.0 if spoil else 1.0
        with XTCTrajectoryFile(str(path), "w") as file:
            file.write(MOVING.xyz, time=MOVING.time.astype(np.float32), box=boxes)
        if not spoil:
            assert read_whole(open_file(path)).n_frames == 5
    with pytest.raises(AnalysisError, match=f"the box of frame {frame + 1} has no volume"):
        read_whole(open_file(path))


def test_a_box_too_small_for_its_atoms_is_refused(tmp_path: Path) -> None:
    small = add_box(md.Trajectory(MOVING.xyz, MOVING.topology), 0.1 * SKEWED)
    small.save_dcd(str(tmp_path / "small.dcd"))
    with pytest.raises(AnalysisError, match="too small for 46 atoms; are its lengths in another unit"):
        read_whole(open_file(tmp_path / "small.dcd"))


@pytest.mark.parametrize("kind", ["xtc", "trr", "dcd", "lammpstrj", "pdb", "gro"])
@pytest.mark.parametrize("atoms", [None, np.arange(10)], ids=["all", "some"])
def test_every_format_is_held_against_the_atoms_of_the_topology(
    tmp_path: Path, kind: str, atoms: NDArray[np.int64] | None
) -> None:
    path = tmp_path / f"moving.{kind}"
    MOVING.save(str(path))
    other = TrajectoryFile(path, MOVING.topology.subset(range(22)), periodic=True)
    with pytest.raises(AnalysisError, match="has 46 atoms a frame, but the topology 22; give those that belong"):
        read_whole(other, atoms)
    assert read_whole(open_file(path), atoms).n_frames == 5


def test_a_dcd_header_without_frames_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "moving.dcd"
    write_dcd(path, 10.0 * MOVING.xyz[:0], list_cosines()[:0])
    with pytest.raises(AnalysisError, match="moving.dcd: holds no frames"):
        read_whole(open_file(path))


@pytest.mark.parametrize("atoms", [None, np.arange(10)], ids=["all", "some"])
def test_frames_of_a_pdb_file_have_the_bonds_of_the_topology(tmp_path: Path, atoms: NDArray[np.int64] | None) -> None:
    path = tmp_path / "moving.pdb"
    MOVING.save(str(path))
    bonds = list(MOVING.topology.bonds if atoms is None else MOVING.topology.subset(atoms).bonds)
    assert read_whole(open_file(path), atoms).topology.n_bonds == len(bonds)


def test_bonds_far_too_short_are_a_fault_of_the_run(tmp_path: Path) -> None:
    whole = MOVING.make_molecules_whole()
    whole[0].save_pdb(str(tmp_path / "start.pdb"))
    for scale, stable in ((1.0, True), (0.3, False)):
        shrunk = add_box(md.Trajectory(scale * whole.xyz, whole.topology), SKEWED)
        shrunk.save_dcd(str(tmp_path / "moving.dcd"))
        recording = read_plain_trajectory(tmp_path / "moving.dcd", tmp_path / "start.pdb")
        bonds = compute_bonds(recording.frames, recording.start)
        verdict = judge({"bonds": bonds})
        assert verdict.stable is stable
        assert bonds.number("collapsed_ever") == (0 if stable else 21 + 2 * 8)
    failed = [check for check in verdict.checks if check.outcome is Outcome.FAILED]
    assert [check.name for check in failed] == ["collapsed bonds"] and "37 bonds far too short" in failed[0].says


def test_the_density_of_a_scaled_dump_is_that_of_the_box(tmp_path: Path) -> None:
    mass = sum(atom.element.mass for atom in MOVING.topology.atoms)
    path = tmp_path / "moving.dcd"
    write_dcd(path, 10.0 * MOVING.xyz, list_cosines())
    density = compute_density(open_file(path)).number("density_mean")
    assert density == pytest.approx(mass / BOX_VOLUME * 1.66053907e-3, rel=1e-4)
