"""A run goes beyond its length, or on with other settings, only when asked to; run.json keeps what was changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import mdtraj
import numpy as np
import pytest

from orbmm.errors import RunError, SettingsError
from orbmm.settings import Settings, override_settings, read_settings
from orbmm.simulation.folder.changes import ResumeRequest
from orbmm.simulation.force_source import ForceSource
from orbmm.simulation.run import resume_run, start_run

Forces = Callable[..., ForceSource]
ACCEPTED = ResumeRequest(accept_changes=True)


def _read_steps(folder: Path) -> list[int]:
    return [int(step) for step in np.genfromtxt(folder / "energies.csv", delimiter=",", names=True)["step"]]


def _edit(folder: Path, old: str, new: str) -> None:
    path = folder / "settings.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize("file_format", ["xtc", "dcd"])
def test_an_extended_run_is_the_longer_run(
    file_format: str, settings: Settings, classical_forces: Forces, tmp_path: Path
) -> None:
    settings = override_settings(settings, {"run": {"trajectory": file_format}})
    folder = start_run(settings, forces=classical_forces()).folder
    outcome = resume_run(folder, forces=classical_forces(), request=ResumeRequest(extend_ps=0.01))
    assert (outcome.step, outcome.finished) == (80, True)
    longer = override_settings(settings, {"run": {"length_ps": 0.04, "output": tmp_path / "longer"}})
    whole = start_run(longer, forces=classical_forces()).folder
    name = f"trajectory.{file_format}"
    frames = [mdtraj.load(one / name, top=one / "topology.pdb").xyz for one in (folder, whole)]
    assert np.array_equal(*frames)
    assert _read_steps(folder) == _read_steps(whole) == list(range(0, 81, 10))
    assert read_settings(folder / "settings.toml").run.length_ps == 0.04
    assert json.loads((folder / "run.json").read_text())["changed"][0]["changes"] == {"run.length_ps": "0.03 -> 0.04"}
    assert resume_run(folder, forces=classical_forces()).step == 80  # the new length is the run's own


def test_an_extension_that_is_no_whole_number_of_steps_changes_nothing(
    settings: Settings, classical_forces: Forces
) -> None:
    folder = start_run(settings, forces=classical_forces()).folder
    before = (folder / "settings.toml").read_text(), (folder / "run.json").read_text()
    with pytest.raises(SettingsError, match="whole number of time steps"):
        resume_run(folder, forces=classical_forces(), request=ResumeRequest(extend_ps=0.0003))
    assert ((folder / "settings.toml").read_text(), (folder / "run.json").read_text()) == before


def test_edited_settings_are_taken_over_when_that_is_asked_for(settings: Settings, classical_forces: Forces) -> None:
    folder = start_run(settings, forces=classical_forces()).folder
    _edit(folder, "temperature_kelvin = 300.0", "temperature_kelvin = 600.0")
    _edit(folder, "friction_per_ps = 1.0", "friction_per_ps = 500.0")
    _edit(folder, "length_ps = 0.03", "length_ps = 0.25")
    with pytest.raises(RunError, match=r"run.temperature_kelvin: 300.0 -> 600.0.*--force-new-settings"):
        resume_run(folder, forces=classical_forces())
    assert resume_run(folder, forces=classical_forces(), request=ACCEPTED).step == 500
    assert _read_steps(folder) == list(range(0, 501, 10))
    temperatures = np.genfromtxt(folder / "energies.csv", delimiter=",", names=True)["temperature_K"]
    assert temperatures[-15:].mean() > 450.0  # the new bath acts, also behind the binary checkpoint
    noted = json.loads((folder / "run.json").read_text())["changed"]
    assert [entry["step"] for entry in noted] == [60]
    assert noted[0]["changes"]["run.friction_per_ps"] == "1.0 -> 500.0"
    assert resume_run(folder, forces=classical_forces()).finished  # accepted once, they are the run's own


@pytest.mark.parametrize(
    "old, new",
    [
        ("timestep_fs = 0.5", "timestep_fs = 0.25"),
        ("frame_every_fs = 2.0", "frame_every_fs = 1.0"),
        ('trajectory = "xtc"', 'trajectory = "dcd"'),
    ],
)
def test_what_the_files_so_far_rest_on_cannot_be_changed(
    old: str, new: str, settings: Settings, classical_forces: Forces
) -> None:
    folder = start_run(settings, forces=classical_forces()).folder
    _edit(folder, old, new)
    with pytest.raises(RunError, match=rf"{old.split()[0]} cannot change within a run"):
        resume_run(folder, forces=classical_forces(), request=ACCEPTED)


def test_other_weights_are_taken_over_when_that_is_asked_for(settings: Settings, classical_forces: Forces) -> None:
    folder = start_run(settings, forces=classical_forces()).folder
    other = classical_forces(weights="1" * 64)
    longer = ResumeRequest(extend_ps=0.01)
    with pytest.raises(RunError, match="the weights have changed.*000000000000... then, 111111111111... now"):
        resume_run(folder, forces=other, request=longer)
    assert resume_run(folder, forces=other, request=ACCEPTED).finished
    record = json.loads((folder / "run.json").read_text())
    assert record["weights_sha256"] == "1" * 64
    assert [sorted(entry["changes"]) for entry in record["changed"]] == [["run.length_ps"], ["weights"]]


def test_a_run_begun_before_a_setting_existed_goes_on_with_its_default(
    settings: Settings, classical_forces: Forces
) -> None:
    folder = start_run(settings, forces=classical_forces()).folder
    record = json.loads((folder / "run.json").read_text())
    del record["settings"]["run"]["minimize_iterations"]
    del record["settings"]["preparation"]
    (folder / "run.json").write_text(json.dumps(record))
    assert resume_run(folder, forces=classical_forces()).finished
