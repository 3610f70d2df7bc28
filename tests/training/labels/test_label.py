"""Labels of frames: those of the method itself, in several processes, and gone on with after a stop."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from training.conftest import CONSERVATIVE
from typer.testing import CliRunner, Result

from orbmm.cli.main import build_app
from orbmm.errors import OrbmmError, TrainingError
from orbmm.model.load import load_model
from orbmm.settings.training import DataSettings
from orbmm.training.data.frames import Frame, Labels, read_frames, write_frames
from orbmm.training.data.reading import read_file, split_frames
from orbmm.training.labels import label
from orbmm.training.labels.label import label_file
from orbmm.training.labels.labellers import make_labeller

EV_PER_HARTREE, ANGSTROM_PER_BOHR = 27.211386245988, 0.529177210903


def call(*words: object) -> Result:
    return CliRunner().invoke(build_app(), [str(word) for word in words])


def strip(frames: list[Frame]) -> list[Frame]:
    return [replace(frame, energy=None, forces=None) for frame in frames]


def sort(frames: list[Frame]) -> list[Frame]:
    return sorted(frames, key=lambda frame: frame.group)


def test_labels_of_xtb_are_those_of_its_own_interface(frames: list[Frame]) -> None:
    interface = pytest.importorskip("tblite.interface", reason="tblite comes with the extra train")
    labeller = make_labeller("tblite:GFN1-xTB")
    for frame in strip(frames)[:2]:
        more = {} if frame.cell is None else {"lattice": frame.cell / ANGSTROM_PER_BOHR, "periodic": np.ones(3, bool)}
        calculator = interface.Calculator("GFN1-xTB", frame.atomic_numbers, frame.positions / ANGSTROM_PER_BOHR, **more)
        calculator.set("verbosity", 0)
        calculator.set("accuracy", 0.1)
        result = calculator.singlepoint()
        found = labeller(frame)
        assert found.energy == pytest.approx(float(result.get("energy")) * EV_PER_HARTREE, abs=1e-5)
        forces = -result.get("gradient") * EV_PER_HARTREE / ANGSTROM_PER_BOHR
        np.testing.assert_allclose(found.forces, forces, atol=1e-5)
        assert np.abs(found.forces + forces).max() > 0.1


def test_a_network_teaches(frames: list[Frame], tmp_path: Path) -> None:
    target = tmp_path / "labelled.npz"
    done = label_file(strip(frames), target, f"orbmm:{CONSERVATIVE}")
    assert (done.done, done.left_out, done.total) == (10, 0, 10)
    teacher = load_model(CONSERVATIVE, device="cpu", precision="float32-highest")
    for frame in read_frames(target):
        expected = teacher.predict(frame.atomic_numbers, frame.positions, frame.cell)
        assert frame.energy == expected.energy
        np.testing.assert_array_equal(frame.forces, expected.forces)
        assert (frame.stress is None) == (frame.cell is None)
    assert [path.name for path in tmp_path.iterdir()] == ["labelled.npz"]


def test_labels_are_written_as_extended_xyz_too(frames: list[Frame], tmp_path: Path) -> None:
    """What `orbmm train` reads from .extxyz is what .npz holds, in the digits that the format keeps; stress too."""
    for suffix in ("npz", "extxyz"):
        label_file(strip(frames), tmp_path / f"labelled.{suffix}", f"orbmm:{CONSERVATIVE}")
    settings = DataSettings(
        training=(tmp_path / "labelled.extxyz",),
        energy_unit="eV",
        force_unit="eV/Å",
        stress_unit="eV/Å^3",
        stress_sign="positive under tension",
    )
    read = read_file(tmp_path / "labelled.extxyz", settings)
    for one, other in zip(read, read_frames(tmp_path / "labelled.npz"), strict=True):
        assert (one.group, one.charge, one.multiplicity) == (other.group, other.charge, other.multiplicity)
        assert one.energy == pytest.approx(other.energy, abs=1e-6)
        np.testing.assert_array_equal(one.peptide, other.peptide)
        np.testing.assert_allclose(one.positions, other.positions, atol=1e-7)
        np.testing.assert_allclose(one.forces, other.forces, atol=1e-7)
        assert (one.stress is None) == (other.stress is None) == (one.cell is None)
        if one.stress is not None:
            np.testing.assert_allclose(one.stress, other.stress, atol=1e-7)
    assert any(frame.stress is not None for frame in read)


def test_several_processes_label_as_one_does(frames: list[Frame], tmp_path: Path) -> None:
    call("label", _write(frames, tmp_path), tmp_path / "one.npz", "--calculator", f"orbmm:{CONSERVATIVE}")
    result = call(
        "label", tmp_path / "frames.npz", tmp_path / "two.npz", "--calculator", f"orbmm:{CONSERVATIVE}", "--workers", 2
    )
    assert result.exit_code == 0 and "10 of 10 frames, 0 left out" in result.output
    for one, two in zip(sort(read_frames(tmp_path / "one.npz")), sort(read_frames(tmp_path / "two.npz")), strict=True):
        assert one.energy == two.energy


def _write(frames: list[Frame], folder: Path) -> Path:
    write_frames(folder / "frames.npz", strip(frames))
    return folder / "frames.npz"


def test_workers_end_with_the_process_that_started_them(frames: list[Frame], tmp_path: Path) -> None:
    """Killed, it cannot tell them. Each worker writes down its number as it begins, and never comes to a frame."""
    write_frames(tmp_path / "frames.npz", frames[:1] * 41)  # three parts
    (tmp_path / "slow.py").write_text(
        "import os, pathlib, time\n"
        "def make():\n"
        "    pathlib.Path(f'worker-{os.getpid()}').touch()\n"
        "    time.sleep(600)\n"
    )
    command = [sys.executable, "-m", "orbmm", "label", "frames.npz", "labelled.npz", "--calculator", "slow:make"]
    place = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    with subprocess.Popen([*command, "--workers", "2"], cwd=tmp_path, env=place, stderr=subprocess.PIPE) as process:
        workers = wait_for(lambda: [int(path.name[7:]) for path in tmp_path.glob("worker-*")], 2)
        process.kill()
    assert len(workers) == 2
    assert wait_for(lambda: [worker for worker in workers if has_ended(worker)], 2) == workers


def has_ended(process: int) -> bool:
    """Whether a process of this number is gone, or waits to be buried by whoever adopted it."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_for(find: Callable[[], list[int]], count: int, seconds: float = 60.0) -> list[int]:
    """What `find` finds, as soon as it is so many."""
    deadline = time.monotonic() + seconds
    while len(found := find()) < count and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def test_a_stopped_labelling_goes_on(frames: list[Frame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label, "FRAMES_PER_PART", 2)
    calls: list[str] = []

    def count(frame: Frame) -> Labels:
        calls.append(frame.group)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return Labels(1.0, np.zeros_like(frame.positions))

    monkeypatch.setattr(label, "make_labeller", lambda name: count)
    with pytest.raises(KeyboardInterrupt):
        label_file(strip(frames), tmp_path / "labelled.npz", "mine:count")
    label_file(strip(frames), tmp_path / "labelled.npz", "mine:count")
    assert len(calls) == 6 + 6, "four frames were kept, the fifth and sixth are done again"
    assert len(read_frames(tmp_path / "labelled.npz")) == 10


def test_wild_frames_and_nan_are_left_out(frames: list[Frame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter([0.0, 40.0, float("nan"), None, 29.9, 0.0, 0.0, 0.0, 0.0, 0.0])

    def answer(frame: Frame) -> Labels | None:
        value = next(values)
        return None if value is None else Labels(1.0, np.full_like(frame.positions, value))

    monkeypatch.setattr(label, "make_labeller", lambda name: answer)
    done = label_file(strip(frames), tmp_path / "labelled.npz", "mine:answer")
    assert (done.done, done.left_out) == (7, 3)


def test_nothing_labelled_is_an_error(frames: list[Frame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label, "make_labeller", lambda name: lambda frame: None)
    with pytest.raises(TrainingError, match="none of 10 frames"):
        label_file(strip(frames), tmp_path / "labelled.npz", "mine:nothing")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["frames.npz", "out.npz", "--calculator", "GFN1-xTB"], "expected tblite:GFN1-xTB"),
        (["frames.npz", "out.npz", "--calculator", "no_such_module:f"], "finds no such function"),
        (["frames.npz", "out.npz", "--calculator", "orbmm:orb-mini"], "no model is called"),
        (["frames.npz", "out.pdb"], "written as .npz or .extxyz"),
        (["frames.npz", "frames.npz"], "exists already"),
        (["absent.npz", "out.npz"], "no such file"),
    ],
)
def test_a_mistake_is_one_sentence(
    words: list[str], said: str, frames: list[Frame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _write(frames, tmp_path)
    result = call("label", *words)
    assert result.exit_code == 2 and said in result.stderr, result.output


def test_labelled_frames_keep_the_order_of_a_trajectory(frames: list[Frame], tmp_path: Path) -> None:
    """Of one trajectory the last frames are held out: neighbours in time of what is learned would look too good."""
    trajectory = [replace(frame, group="one", positions=frame.positions + 0.01) for frame in strip(frames)]
    label_file(trajectory, tmp_path / "labelled.npz", f"orbmm:{CONSERVATIVE}")
    found = read_frames(tmp_path / "labelled.npz")
    assert [frame.positions.tobytes() for frame in found] == [frame.positions.tobytes() for frame in trajectory]
    held_out = split_frames(found, 0.3, seed=1).validation
    assert [frame.positions.tobytes() for frame in held_out] == [frame.positions.tobytes() for frame in trajectory[-3:]]


def test_a_teacher_that_does_not_know_an_element_says_so(frames: list[Frame]) -> None:
    iron = replace(strip(frames)[0], atomic_numbers=np.full_like(frames[0].atomic_numbers, 26))
    with pytest.raises(OrbmmError, match="Fe"):
        make_labeller(f"orbmm:{CONSERVATIVE}")(iron)
