"""Times that a file does not hold are not made up; those that it holds are judged as what float32 keeps of them."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import mdtraj as md
import numpy as np
import pytest
from analysis.synthetic import Jiggle, make_trajectory, write_run_folder
from mdtraj.formats import NetCDFTrajectoryFile
from numpy.typing import NDArray
from typer.testing import Result

from orbmm.analysis import analyze_recording, compute_diffusion, read_plain_trajectory, read_run_folder
from orbmm.analysis.observables import NEED_TIMES
from orbmm.analysis.reading.times import find_interval
from orbmm.errors import AnalysisError
from orbmm.report import draw_figure, list_findings

MOVING = make_trajectory(Jiggle(frames=12, shake_nm=0.003), waters=20)
UNTIMED = ("dcd", "mdcrd", "lammpstrj", "pdb")
TIMED = ("xtc", "trr", "nc")


def write(folder: Path, kind: str, times: NDArray | None = None, trajectory: md.Trajectory = MOVING) -> list[Path]:
    moving = trajectory[:]
    if times is not None:
        moving.time = times
    moving.save(str(folder / f"moving.{kind}"))
    trajectory[0].make_molecules_whole().save_pdb(str(folder / "start.pdb"))
    return [folder / f"moving.{kind}", folder / "start.pdb"]


@pytest.mark.parametrize("kind", UNTIMED)
def test_a_format_without_times_gives_none(tmp_path: Path, kind: str) -> None:
    recording = read_plain_trajectory(*write(tmp_path, kind))
    analysis = analyze_recording(recording)
    assert "--frame-ps" in analysis.notes[0] and len(analysis.notes) == 1
    assert set(NEED_TIMES) <= set(analysis.missing) and not set(NEED_TIMES) & set(analysis.results)
    rmsd = analysis.results["rmsd"]
    assert rmsd.units["time"] == "frame" and rmsd.values["time"].tolist() == list(range(1, 13))
    assert {panel.get_xlabel() for panel in draw_figure(rmsd).axes} == {"frame"}


@pytest.mark.filterwarnings("ignore:.*netCDF4:UserWarning")
@pytest.mark.parametrize("kind", TIMED)
def test_a_format_with_times_keeps_them(tmp_path: Path, kind: str) -> None:
    analysis = analyze_recording(read_plain_trajectory(*write(tmp_path, kind)))
    assert analysis.notes == () and set(NEED_TIMES) <= set(analysis.results)
    rmsd = analysis.results["rmsd"]
    np.testing.assert_allclose(rmsd.values["time"], 0.01 * np.arange(12), atol=1e-6)
    assert {panel.get_xlabel() for panel in draw_figure(rmsd).axes} == {"time / ps"}


@pytest.mark.parametrize("kind", ["dcd", "lammpstrj", "xtc"])
def test_frame_ps_gives_the_times(tmp_path: Path, kind: str) -> None:
    recording = read_plain_trajectory(*write(tmp_path, kind), frame_ps=0.25)
    analysis = analyze_recording(recording)
    np.testing.assert_allclose(analysis.results["rmsd"].values["time"], 0.25 * np.arange(12))
    np.testing.assert_allclose(analysis.results["diffusion"].values["lag"], 0.25 * np.arange(7))
    assert analysis.results["rmsd"].units["time"] == "ps" and analysis.notes == ()


def boxes() -> tuple[NDArray, NDArray]:
    return MOVING.unitcell_lengths, MOVING.unitcell_angles


@pytest.mark.parametrize("frame_ps", [0.0, -1.0, np.nan, np.inf])
def test_an_impossible_interval_is_refused(tmp_path: Path, frame_ps: float) -> None:
    with pytest.raises(AnalysisError, match="must be a positive number of ps"):
        read_plain_trajectory(*write(tmp_path, "xtc"), frame_ps=frame_ps)


@pytest.mark.filterwarnings("ignore:.*netCDF4:UserWarning")
def test_a_netcdf_file_without_times_gives_none(tmp_path: Path) -> None:
    paths = write(tmp_path, "nc")
    with NetCDFTrajectoryFile(str(paths[0]), "w") as file:
        file.write(10.0 * MOVING.xyz, cell_lengths=10.0 * boxes()[0], cell_angles=boxes()[1])
    assert not read_plain_trajectory(*paths).frames.timed


@pytest.mark.parametrize(
    ("timestep", "every", "title", "timed"),
    [
        (0.0005 / 0.04888821, 20, b"CREATED BY CHARMM", True),
        (1.0, 1, b"Created by DCD plugin", False),
        (1.0, 100, b"Written by LAMMPS", False),
        (0.5, 100, b"Written by LAMMPS", False),
        (0.0, 20, b"REMARKS", False),
        (0.0005 / 0.04888821, 0, b"REMARKS", False),
    ],
)
def test_a_dcd_header_counts_when_it_states_a_time_step(
    tmp_path: Path, timestep: float, every: int, title: bytes, timed: bool
) -> None:
    paths = write(tmp_path, "dcd")
    content = bytearray(paths[0].read_bytes())
    struct.pack_into("<2i", content, 12, every, every)
    struct.pack_into("<f", content, 44, timestep)
    content[100 : 100 + 80] = title.ljust(80)
    paths[0].write_bytes(bytes(content))
    recording = read_plain_trajectory(*paths)
    assert recording.frames.timed is timed
    if timed:
        (chunk,) = recording.frames.read_chunks()
        np.testing.assert_allclose(chunk.time, 0.01 * np.arange(1, 13), rtol=1e-5)


def test_x_plor_keeps_the_time_step_as_a_double(tmp_path: Path) -> None:
    no_box = md.Trajectory(MOVING.make_molecules_whole().xyz, MOVING.topology)
    no_box.save_dcd(str(tmp_path / "moving.dcd"))
    no_box[0].save_pdb(str(tmp_path / "start.pdb"))
    paths = [tmp_path / "moving.dcd", tmp_path / "start.pdb"]
    content = bytearray(paths[0].read_bytes())
    struct.pack_into("<2i", content, 12, 20, 20)
    struct.pack_into("<d", content, 44, 0.0005 / 0.04888821)
    struct.pack_into("<i", content, 84, 0)  # version
    paths[0].write_bytes(bytes(content))
    (chunk,) = read_plain_trajectory(*paths).frames.read_chunks()
    np.testing.assert_allclose(chunk.time[:2], [0.01, 0.02], rtol=1e-6)


def test_times_of_late_frames_are_at_equal_intervals(tmp_path: Path) -> None:
    late = 20_000.0 + 0.05 * np.arange(12)
    recording = read_plain_trajectory(*write(tmp_path, "xtc", late))
    assert recording.notes == ()
    early = read_plain_trajectory(*write(tmp_path, "xtc", late - 20_000.0))
    for each in (recording, early):
        diffusion = compute_diffusion(each.frames)
        assert diffusion.values["lag"][1] == pytest.approx(0.05, rel=5e-3)
    assert find_interval(np.array([0.0, 0.05, 0.1, 0.17])) is None  # early times are known better


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], None),
        ([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20], None),
        (
            [0, 1, 2, 3, 4, 5, 6, 7, 5, 6, 7, 8],
            "3 of 12 frames repeat a time or go back in it (first frame 9, at 5 ps)",
        ),
        (
            [0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
            "1 of 12 frames repeat a time or go back in it (first frame 3, at 1 ps)",
        ),
    ],
    ids=["equal", "gap", "overlap", "doubled"],
)
@pytest.mark.parametrize("kind", ["xtc", "trr"])
def test_doubled_and_overlapping_times_are_said_at_the_top(
    tmp_path: Path, analyze: Callable[..., Result], kind: str, times: list[float], words: str | None
) -> None:
    paths = write(tmp_path, kind, np.array(times, dtype=float))
    answer = analyze("--trajectory", paths[0], "--topology", paths[1])
    assert answer.exit_code == 0
    notes = json.loads((tmp_path / "analysis" / "results.json").read_text())["notes"]
    assert [note[: len(words or "")] for note in notes] == ([words] if words else [])
    assert answer.stdout.startswith("note: ") is bool(words)


def test_a_file_whose_times_are_all_zero_holds_none(tmp_path: Path) -> None:
    assert not read_plain_trajectory(*write(tmp_path, "xtc", np.zeros(12))).frames.timed


def test_a_run_knows_its_times_whatever_its_trajectory_holds(tmp_path: Path) -> None:
    folder = write_run_folder(tmp_path / "run", MOVING, "dcd")
    recording = read_run_folder(folder)
    analysis = analyze_recording(recording)
    assert recording.settings is not None and recording.notes == ()
    expected = recording.settings.run.frame_every_fs / 1000.0 * np.arange(12)
    np.testing.assert_allclose(analysis.results["rmsd"].values["time"], expected)


@pytest.mark.parametrize("words", [("--discard-ps", "1"), ("--frame-ps", "1", "--discard-ps", "1")])
def test_a_start_in_ps_needs_times(tmp_path: Path, analyze: Callable[..., Result], words: tuple[str, ...]) -> None:
    paths = write(tmp_path, "dcd")
    answer = analyze("--trajectory", paths[0], "--topology", paths[1], *words)
    assert answer.exit_code == (0 if "--frame-ps" in words else 2), answer.output
    assert "--frame-ps" in answer.stderr or answer.exit_code == 0


def test_a_run_folder_takes_no_frame_ps(run_folder: Path, analyze: Callable[..., Result]) -> None:
    answer = analyze(run_folder, "--frame-ps", "1")
    assert answer.exit_code == 2 and "a run folder knows its times" in answer.stderr


def test_findings_name_frames_where_there_are_no_times(tmp_path: Path) -> None:
    recording = read_plain_trajectory(*write(tmp_path, "dcd"))
    assert all(" ps" not in line for line in list_findings(analyze_recording(recording).results))
