"""A run that is looked at while it goes on; the run is played by a thread of the test's own making."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from analysis.confident import make_errors, write_confidence
from analysis.synthetic import FRAME_PS, Jiggle, make_trajectory, write_run_folder

from orbmm.analysis import analyze_recording, follow_run, read_run_folder
from orbmm.analysis.reading.formats import count_frames
from orbmm.errors import AnalysisError

FRAMES = 30
FINAL_CHECKPOINT = "step-%012d"
# The command in a process of its own, without figures, which are the same at each look.
COMMAND = """
import orbmm.report
orbmm.report.write_figures = lambda results, folder, formats: []
from orbmm.cli.main import main
main()
"""


class Actor:
    """Shows a finished run bit by bit: `sleep` is what a look does between two looks."""

    def __init__(self, folder: Path, file_format: str = "xtc") -> None:
        moving = make_trajectory(Jiggle(frames=FRAMES), waters=15)
        write_run_folder(folder, moving, file_format)
        write_confidence(folder, make_errors(FRAMES, moving.n_atoms))
        self.folder, self.name = folder, f"trajectory.{file_format}"
        self.files = {name: (folder / name).read_bytes() for name in (self.name, "energies.csv", "confidence.dat")}
        self.show(0.0)

    def show(self, share: float, ended: bool = False) -> None:
        for name, content in self.files.items():
            (self.folder / name).write_bytes(content[: int(share * len(content))])
        if ended:
            steps = round((FRAMES - 1) * FRAME_PS / 0.0005)
            (self.folder / "checkpoints" / (FINAL_CHECKPOINT % steps)).mkdir(parents=True)

    def play(self, shares: Iterator[float]):
        def sleep(seconds: float) -> None:
            assert seconds >= 1.0
            share = next(shares)
            self.show(share, ended=share >= 1.0)

        return sleep


@pytest.mark.parametrize("file_format", ["xtc", "dcd"])
def test_frames_are_taken_up_as_they_come_and_torn_ones_are_left(tmp_path: Path, file_format: str) -> None:
    actor = Actor(tmp_path / "run", file_format)
    shares = iter([0.0, 0.02, 0.31, 0.31, 0.64, 1.0])
    looks = list(follow_run(actor.folder, 1.0, sleep=actor.play(shares)))
    frames = [look.frames for look in looks]
    assert frames == sorted(set(frames)) and frames[-1] == FRAMES and 8 <= frames[0] <= 10 and len(frames) == 3
    assert [look.finished for look in looks] == [False, False, True]
    assert looks[0].last_ps == pytest.approx(FRAME_PS * (frames[0] - 1))


def test_a_look_measures_just_the_frames_it_found(tmp_path: Path) -> None:
    actor = Actor(tmp_path / "run")
    whole = make_trajectory(Jiggle(frames=FRAMES), waters=15)
    looks = follow_run(actor.folder, 1.0, sleep=actor.play(iter([0.5, 1.0])))
    first = next(looks)
    actor.show(0.8)  # it grows while it is measured
    results = analyze_recording(first.recording).results
    assert {results[name].frames for name in ("rmsd", "bonds", "density", "protonation")} == {first.frames}
    assert first.frames < FRAMES and "rmsf" in results and "diffusion" in results
    expected = analyze_recording(read_run_folder(write_run_folder(tmp_path / "part", whole[: first.frames]))).results
    np.testing.assert_allclose(
        results["rmsd"].values["backbone"], expected["rmsd"].values["backbone"], atol=2e-3
    )  # through the same file format
    assert len(results["confidence"].values["time"]) == 15


def test_a_run_at_rest_that_is_torn_is_still_refused(tmp_path: Path) -> None:
    actor = Actor(tmp_path / "run")
    actor.show(0.5)
    with pytest.raises(AnalysisError, match="is torn"):
        read_run_folder(actor.folder)


def test_a_run_that_was_stopped_as_unstable_ends_the_looking(tmp_path: Path) -> None:
    actor = Actor(tmp_path / "run")
    actor.show(0.5)
    fault = actor.folder / "rescue" / "step-000000000500"
    fault.mkdir(parents=True)
    (fault / "reason.txt").write_text("stopped\n")
    (look,) = follow_run(actor.folder, 1.0, sleep=actor.play(iter([])))
    assert look.finished and 13 <= look.frames <= 15


def test_the_first_look_waits_until_the_start_is_over(tmp_path: Path) -> None:
    actor = Actor(tmp_path / "run")
    looks = follow_run(actor.folder, 1.0, discard_ps=0.2, sleep=actor.play(0.1 * step for step in count(1)))
    assert next(looks).frames >= 22


def test_whole_frames_are_counted_without_unpacking(tmp_path: Path) -> None:
    for atoms in (5, 60):  # few atoms are not packed
        moving = make_trajectory(Jiggle(frames=7), waters=15).atom_slice(range(atoms))
        path = tmp_path / f"{atoms}.xtc"
        moving.save_xtc(str(path))
        content = path.read_bytes()
        found = []
        for size in range(0, len(content), 7):
            path.write_bytes(content[:size])
            found.append(count_frames(path))
        path.write_bytes(content)
        assert found == sorted(found) and set(found) == set(range(7)) and count_frames(path) == 7
    path.write_bytes(b"no trajectory " * 20)
    assert count_frames(path) == 0 and count_frames(tmp_path / "nowhere.xtc") == 0


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="no such run folder"):
        next(follow_run(tmp_path / "nowhere"))


def test_the_command_ends_with_the_run(tmp_path: Path) -> None:
    actor = Actor(tmp_path / "run")
    actor.show(0.4)
    command = [sys.executable, "-c", COMMAND, "analyze", str(actor.folder)]
    with subprocess.Popen(
        [*command, "--follow", "--every-s", "0.2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        first = process.stdout.readline()
        assert "12 frames, 0.11 ps: stable" in first or "11 frames, 0.1 ps: stable" in first
        assert process.poll() is None
        actor.show(1.0, ended=True)
        output, errors = process.communicate(timeout=120)
    assert process.returncode == 0 and errors == ""
    assert f"{FRAMES} frames, 0.29 ps: stable" in output and "tables and figures" in output
    assert (actor.folder / "analysis" / "results.json").is_file()


def test_the_command_can_be_interrupted(tmp_path: Path) -> None:
    actor = Actor(tmp_path / "run")
    actor.show(0.4)
    # What a shell starts in the background ignores SIGINT, and so would what is started in turn.
    listen = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = [sys.executable, "-c", listen + COMMAND, "analyze", str(actor.folder)]
    with subprocess.Popen([*command, "--follow", "--every-s", "60"], stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "no longer looking; the run itself goes on" in output and output.rstrip().splitlines()[-1].startswith(
        "stable"
    )


def test_following_a_trajectory_is_refused(analyze, tmp_path: Path) -> None:
    answer = analyze("--trajectory", tmp_path / "a.xtc", "--topology", tmp_path / "a.pdb", "--follow")
    assert answer.exit_code == 2 and "--follow looks at a run that goes on" in answer.stderr
