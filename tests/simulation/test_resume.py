"""An interrupted and resumed run is the uninterrupted run: no frame or row lost or doubled, equal to the last bit."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Self

import mdtraj
import numpy as np
import openmm
import pytest

from orbmm.errors import RunError, SettingsError
from orbmm.run_files.energies import read_energy_table
from orbmm.settings import Settings, override_settings
from orbmm.simulation.dynamics.thermometer import Elements
from orbmm.simulation.force_source import ForceSource
from orbmm.simulation.interruption import Interruption
from orbmm.simulation.progress import Progress
from orbmm.simulation.run import resume_run, start_run

Forces = Callable[..., ForceSource]


def _stop_at(step: int) -> Callable[[Progress], None]:
    """Ends the run abruptly, as a kill would, after this step was written."""

    def stop(progress: Progress) -> None:
        if progress.step >= step:
            raise KeyboardInterrupt

    return stop


def _break_off(settings: Settings, forces: ForceSource, step: int) -> Path:
    with pytest.raises(KeyboardInterrupt):
        start_run(settings, _stop_at(step), forces)
    assert settings.run.output is not None
    return settings.run.output


def _newest_checkpoint(folder: Path) -> Path:
    return max((folder / "checkpoints").glob("step-*"))


def _final_positions(folder: Path) -> np.ndarray:
    state = openmm.XmlSerializer.deserialize((_newest_checkpoint(folder) / "state.xml").read_text())
    return np.array(state.getPositions(asNumpy=True)._value)


def _rows_without_speed(folder: Path) -> list[str]:
    return [line.rsplit(",", 1)[0] for line in (folder / "energies.csv").read_text().splitlines()]


def _assert_same_run(one: Path, other: Path, file_format: str = "xtc") -> None:
    assert np.array_equal(_final_positions(one), _final_positions(other))
    assert _rows_without_speed(one) == _rows_without_speed(other)
    frames = [mdtraj.load(folder / f"trajectory.{file_format}", top=folder / "topology.pdb") for folder in (one, other)]
    assert np.array_equal(frames[0].xyz, frames[1].xyz)
    assert np.array_equal(frames[0].time, frames[1].time)


@pytest.fixture
def whole(settings: Settings, classical_forces: Forces, tmp_path: Path) -> Path:
    """The run folder of the same settings, never interrupted."""
    return start_run(
        override_settings(settings, {"run": {"output": tmp_path / "whole"}}), forces=classical_forces()
    ).folder


@pytest.mark.parametrize("file_format", ["xtc", "dcd"])
@pytest.mark.parametrize("step", [0, 10, 38, 44])
def test_resumed_equals_uninterrupted(
    step: int, file_format: str, settings: Settings, classical_forces: Forces, tmp_path: Path
) -> None:
    settings = override_settings(settings, {"run": {"trajectory": file_format}})
    complete = override_settings(settings, {"run": {"output": tmp_path / "whole"}})
    whole = start_run(complete, forces=classical_forces()).folder
    folder = _break_off(settings, classical_forces(), step)
    outcome = resume_run(folder, forces=classical_forces())
    assert outcome.finished and outcome.step == 60
    _assert_same_run(folder, whole, file_format)


def test_a_run_broken_off_again_and_again_is_still_the_same(
    settings: Settings, classical_forces: Forces, whole: Path
) -> None:
    folder = _break_off(settings, classical_forces(), 12)
    for step in (24, 25, 41, 58):
        with pytest.raises(KeyboardInterrupt):
            resume_run(folder, _stop_at(step), classical_forces())
    resume_run(folder, forces=classical_forces())
    _assert_same_run(folder, whole)


def test_torn_last_entries_are_cut_off(settings: Settings, classical_forces: Forces, whole: Path) -> None:
    folder = _break_off(settings, classical_forces(), 44)
    with (folder / "trajectory.xtc").open("ab") as stream:
        stream.write(b"\x00\x00\x07\xcb half a frame")
    with (folder / "energies.csv").open("a") as stream:
        stream.write("50,0.02")
    resume_run(folder, forces=classical_forces())
    _assert_same_run(folder, whole)


def test_without_cutting_back_entries_would_be_doubled(
    settings: Settings, classical_forces: Forces, whole: Path
) -> None:
    folder = _break_off(settings, classical_forces(), 44)
    index = _newest_checkpoint(folder) / "checkpoint.json"
    entries = json.loads(index.read_text())
    entries["sizes"] = {name: (folder / name).stat().st_size for name in entries["sizes"]}
    del entries["content"]  # the hashes, which would find it out
    index.write_text(json.dumps(entries))
    resume_run(folder, forces=classical_forces())
    with pytest.raises(AssertionError):
        _assert_same_run(folder, whole)


def test_a_damaged_checkpoint_is_passed_over(
    settings: Settings, classical_forces: Forces, whole: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = _break_off(settings, classical_forces(), 44)
    binary = _newest_checkpoint(folder) / "context.chk"
    binary.write_bytes(binary.read_bytes()[:100])
    resume_run(folder, forces=classical_forces())
    assert "is damaged" in caplog.text
    _assert_same_run(folder, whole)


@pytest.mark.parametrize("name", ["unfinished", ".unfinished-0123456789ab"])
def test_an_unfinished_checkpoint_is_ignored(
    name: str, settings: Settings, classical_forces: Forces, whole: Path
) -> None:
    """The first name is that of older versions, and could be a user's: it stays."""
    folder = _break_off(settings, classical_forces(), 44)
    unfinished = folder / "checkpoints" / name
    shutil.copytree(_newest_checkpoint(folder), unfinished)
    (unfinished / "checkpoint.json").unlink()
    resume_run(folder, forces=classical_forces())
    _assert_same_run(folder, whole)
    assert unfinished.exists() == (name == "unfinished")


def test_without_any_whole_checkpoint_the_run_is_refused(settings: Settings, classical_forces: Forces) -> None:
    folder = _break_off(settings, classical_forces(), 44)
    for checkpoint in (folder / "checkpoints").iterdir():
        (checkpoint / "state.xml").write_text("<State/>")
    with pytest.raises(RunError, match="no usable checkpoint"):
        resume_run(folder, forces=classical_forces())


def test_a_binary_checkpoint_from_elsewhere_gives_way_to_the_portable_state(
    settings: Settings, classical_forces: Forces, whole: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = _break_off(settings, classical_forces(), 44)
    checkpoint = _newest_checkpoint(folder)
    foreign = b"made by another platform"
    (checkpoint / "context.chk").write_bytes(foreign)
    index = json.loads((checkpoint / "checkpoint.json").read_text())
    index["sha256"]["context.chk"] = hashlib.sha256(foreign).hexdigest()
    (checkpoint / "checkpoint.json").write_text(json.dumps(index))
    outcome = resume_run(folder, forces=classical_forces())
    assert outcome.step == 60
    assert "continuing from the portable state" in caplog.text
    steps = [row.split(",")[0] for row in _rows_without_speed(folder)]
    assert steps == [row.split(",")[0] for row in _rows_without_speed(whole)]
    # Other noise from step 40 on: the bath's random numbers are only in the binary file.
    assert 0.0 < np.abs(_final_positions(folder) - _final_positions(whole)).max() < 0.05


def test_a_signal_before_the_first_step_leaves_the_checkpoint_as_it_is(
    settings: Settings, classical_forces: Forces, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AlreadyRequested(Interruption):
        def __enter__(self) -> Self:
            super().__enter__()
            signal.raise_signal(signal.SIGTERM)
            return self

    folder = _break_off(settings, classical_forces(), 44)
    with monkeypatch.context() as patched:
        patched.setattr("orbmm.simulation.run.Interruption", AlreadyRequested)
        outcome = resume_run(folder, forces=classical_forces())
    assert (outcome.step, outcome.finished) == (40, False)
    resume_run(folder, forces=classical_forces())
    _assert_same_run(folder, whole)


def test_two_checkpoints_are_kept(whole: Path) -> None:
    names = sorted(path.name for path in (whole / "checkpoints").iterdir())
    assert names == ["step-000000000040", "step-000000000060"]


def test_a_complete_run_is_left_as_it_is(whole: Path, classical_forces: Forces) -> None:
    before = (whole / "trajectory.xtc").read_bytes()
    outcome = resume_run(whole, forces=classical_forces())
    assert outcome.finished and outcome.step == 60
    assert (whole / "trajectory.xtc").read_bytes() == before


def test_a_moved_run_folder_resumes(settings: Settings, classical_forces: Forces, whole: Path, tmp_path: Path) -> None:
    folder = _break_off(settings, classical_forces(), 44)
    moved = tmp_path / "elsewhere" / "moved"
    moved.parent.mkdir()
    folder.rename(moved)
    resume_run(moved, forces=classical_forces())
    _assert_same_run(moved, whole)


def test_changed_settings_are_refused_with_the_difference(settings: Settings, classical_forces: Forces) -> None:
    folder = _break_off(settings, classical_forces(), 44)
    path = folder / "settings.toml"
    original = path.read_text()
    path.write_text(original.replace("temperature_kelvin = 300.0", "temperature_kelvin = 310.0"))
    with pytest.raises(RunError, match=r"run.temperature_kelvin: 300.0 -> 310.0"):
        resume_run(folder, forces=classical_forces())
    path.write_text(original.replace("temperature_kelvin", "temperatur_kelvin"))
    with pytest.raises(SettingsError, match="did you mean 'temperature_kelvin'"):
        resume_run(folder, forces=classical_forces())
    path.write_text("# a comment changes nothing\n" + original)
    assert resume_run(folder, forces=classical_forces()).finished


def test_changed_inputs_and_weights_are_refused(settings: Settings, classical_forces: Forces) -> None:
    folder = _break_off(settings, classical_forces(), 44)
    with pytest.raises(RunError, match="the weights have changed"):
        resume_run(folder, forces=classical_forces(weights="1" * 64))
    structure = folder / "input" / "structure.pdb"
    structure.write_text(structure.read_text().replace("HOH", "WAT"))
    with pytest.raises(RunError, match="input/structure.pdb"):
        resume_run(folder, forces=classical_forces())


def test_what_is_no_run_folder_is_refused(settings: Settings, classical_forces: Forces, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a run folder"):
        resume_run(tmp_path / "none", forces=classical_forces())
    folder = _break_off(settings, classical_forces(), 44)
    (folder / "trajectory.xtc").unlink()
    with pytest.raises(RunError, match=r"trajectory.xtc is missing"):
        resume_run(folder, forces=classical_forces())
    (folder / "run.json").write_text("{")
    with pytest.raises(RunError, match=r"run.json is damaged"):
        resume_run(folder, forces=classical_forces())


def test_a_shortened_trajectory_is_refused(settings: Settings, classical_forces: Forces) -> None:
    folder = _break_off(settings, classical_forces(), 44)
    path = folder / "trajectory.xtc"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(RunError, match="damaged"):
        resume_run(folder, forces=classical_forces())


def test_a_table_without_temperatures_of_elements_keeps_its_columns(
    settings: Settings, classical_forces: Forces, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables of older versions have none; the resumed run must not write rows of another width."""
    with monkeypatch.context() as older:
        older.setattr("orbmm.simulation.reporters.files.find_elements", lambda topology: Elements())
        folder = _break_off(settings, classical_forces(), 20)
    assert resume_run(folder, forces=classical_forces()).finished
    table = read_energy_table(folder / "energies.csv")
    assert len(table.time_ps) == 7 and not table.of_elements
