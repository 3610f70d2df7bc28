"""A run is a list of stages: each begins where the one before ended, also after a kill at any step."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import mdtraj
import numpy as np
import openmm
import pytest

from orbmm.errors import RunError, SettingsError
from orbmm.settings import Settings, StageSettings, override_settings, read_settings
from orbmm.simulation.force_source import ForceSource
from orbmm.simulation.progress import Progress
from orbmm.simulation.run import resume_run, start_run

Forces = Callable[..., ForceSource]

STAGES = (
    StageSettings(kind="minimise", iterations=5),
    StageSettings(kind="heat", from_temperature_kelvin=10.0, length_ps=0.06),
    StageSettings(kind="equilibrate", length_ps=0.01, hydrogen_mass_amu=2.0, friction_per_ps=5.0),
    StageSettings(kind="produce", length_ps=0.015),
    StageSettings(kind="produce", length_ps=0.015, integrator="nose-hoover"),
)
PREPARED_STEPS = 140


def _stage(settings: Settings, *stages: StageSettings) -> Settings:
    return dataclasses.replace(settings, stage=stages)


def _read_table(path: Path) -> np.ndarray:
    return np.genfromtxt(path, delimiter=",", names=True)


def _newest(folder: Path) -> Path:
    return max((folder / "checkpoints").iterdir(), key=lambda path: path.name)


def _final_state(folder: Path) -> np.ndarray:
    state = openmm.XmlSerializer.deserialize((_newest(folder) / "state.xml").read_text())
    return np.concatenate([state.getPositions(asNumpy=True)._value, state.getVelocities(asNumpy=True)._value])


def _without_speed(path: Path) -> list[str]:
    return [line.rsplit(",", 1)[0] for line in path.read_text().splitlines()]


@pytest.fixture
def staged(settings: Settings) -> Settings:
    """A run of every kind of stage."""
    return _stage(settings, *STAGES)


def test_every_stage_is_performed_and_production_counts_from_0(staged: Settings, classical_forces: Forces) -> None:
    kinds: list[str] = []
    outcome = start_run(staged, lambda progress: kinds.append(progress.stage), classical_forces())
    assert (outcome.finished, outcome.step, outcome.stage) == (True, 60, "produce")
    assert list(dict.fromkeys(kinds)) == ["heat", "equilibrate", "produce"]
    folder = outcome.folder
    assert _read_table(folder / "equilibration.csv")["step"].tolist() == list(range(0, PREPARED_STEPS + 1, 10))
    rows = _read_table(folder / "energies.csv")
    assert rows["step"].tolist() == list(range(0, 61, 10))
    assert np.allclose(rows["time_ps"], 0.0005 * rows["step"])
    frames = mdtraj.load(folder / "trajectory.xtc", top=folder / "topology.pdb")
    assert np.allclose(frames.time, 0.002 * np.arange(16))
    assert np.abs(frames.xyz[0] - mdtraj.load(folder / "topology.pdb").xyz[0]).max() < 0.002
    assert read_settings(folder / "settings.toml").stage == staged.stage


def test_heating_begins_cold_and_ends_warm(settings: Settings, classical_forces: Forces) -> None:
    heat = StageSettings(kind="heat", from_temperature_kelvin=1.0, length_ps=0.25, friction_per_ps=500.0)
    folder = start_run(_stage(settings, heat, StageSettings(kind="produce")), forces=classical_forces()).folder
    temperature = _read_table(folder / "equilibration.csv")["temperature_K"]
    assert temperature[0] < 5.0
    assert 20.0 < temperature[: len(temperature) // 2].mean() < 0.8 * temperature[-10:].mean()


@pytest.mark.parametrize(
    "kind, step",
    [("heat", 0), ("heat", 30), ("heat", 70), ("equilibrate", 124), ("equilibrate", 140), ("produce", 0)]
    + [("produce", step) for step in (22, 30, 31, 32, 44)],
)
def test_a_run_broken_off_in_any_stage_comes_out_as_one_in_peace(
    kind: str, step: int, staged: Settings, classical_forces: Forces, tmp_path: Path
) -> None:
    def stop(progress: Progress) -> None:
        if progress.stage == kind and progress.step >= step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start_run(staged, stop, classical_forces())
    folder = staged.run.output
    assert folder is not None
    assert resume_run(folder, forces=classical_forces()).finished
    whole = start_run(
        override_settings(staged, {"run": {"output": tmp_path / "whole"}}), forces=classical_forces()
    ).folder
    assert np.array_equal(_final_state(folder), _final_state(whole))
    assert (folder / "trajectory.xtc").read_bytes() == (whole / "trajectory.xtc").read_bytes()
    for name in ("energies.csv", "equilibration.csv"):
        assert _without_speed(folder / name) == _without_speed(whole / name)
    assert (folder / "topology.pdb").read_bytes() == (whole / "topology.pdb").read_bytes()


def test_a_checkpoint_knows_its_stage(staged: Settings, classical_forces: Forces) -> None:
    folder = start_run(staged, forces=classical_forces()).folder
    indices = [json.loads((path / "checkpoint.json").read_text()) for path in (folder / "checkpoints").iterdir()]
    assert sorted((index["stage"], index["step"]) for index in indices) == [(4, 40), (4, 60)]


def test_heavier_hydrogens_take_over_temperature_and_not_speed(settings: Settings, classical_forces: Forces) -> None:
    light = StageSettings(kind="equilibrate", length_ps=0.05)
    heavy = StageSettings(kind="produce", length_ps=0.01, hydrogen_mass_amu=4.0, timestep_fs=1.0)
    folder = start_run(_stage(settings, light, heavy), forces=classical_forces()).folder
    before = _read_table(folder / "equilibration.csv")["temperature_K"][-1]
    after = _read_table(folder / "energies.csv")
    assert after["temperature_K"][0] == pytest.approx(before, rel=0.05)  # less the drift of the centre of mass
    assert after["time_ps"].tolist() == [0.0, 0.005, 0.01]
    assert after["step"].tolist() == [0, 5, 10]


@pytest.mark.physics
def test_verlet_keeps_the_energy(settings: Settings, classical_forces: Forces) -> None:
    stages = (
        StageSettings(kind="equilibrate", length_ps=0.2),
        StageSettings(kind="produce", length_ps=0.5, integrator="verlet", timestep_fs=0.25),
    )
    folder = start_run(_stage(settings, *stages), forces=classical_forces()).folder
    rows = _read_table(folder / "energies.csv")
    assert np.ptp(rows["total_energy_kJ_mol"]) < 0.1 * np.ptp(rows["potential_energy_kJ_mol"])
    assert np.ptp(rows["potential_energy_kJ_mol"]) > 10.0


def test_the_last_stage_can_be_extended(staged: Settings, classical_forces: Forces) -> None:
    from orbmm.simulation.folder.changes import ResumeRequest

    folder = start_run(staged, forces=classical_forces()).folder
    outcome = resume_run(folder, forces=classical_forces(), request=ResumeRequest(extend_ps=0.01))
    assert (outcome.step, outcome.finished) == (80, True)
    assert read_settings(folder / "settings.toml").production.steps == 50
    assert _read_table(folder / "energies.csv")["step"].tolist() == list(range(0, 81, 10))


def test_what_earlier_steps_rest_on_cannot_change_in_a_stage(staged: Settings, classical_forces: Forces) -> None:
    from orbmm.simulation.folder.changes import ResumeRequest

    folder = start_run(staged, forces=classical_forces()).folder
    path = folder / "settings.toml"
    original = path.read_text()
    path.write_text(original.replace('kind = "heat"\n', 'kind = "heat"\nfriction_per_ps = 3.0\n'))
    with pytest.raises(RunError, match=r"stage.2.friction_per_ps: None -> 3.0"):
        resume_run(folder, forces=classical_forces())
    path.write_text(original.replace("length_ps = 0.06", "length_ps = 0.07"))
    with pytest.raises(RunError, match=r"stage.2.length_ps cannot change within a run"):
        resume_run(folder, forces=classical_forces(), request=ResumeRequest(accept_changes=True))


BAD = {
    "unknown kind": ('kind = "melt"\n', "kind is 'melt', which is not offered"),
    "no kind": ("length_ps = 1\n", "[stage] lacks 'kind'"),
    "unknown key": ('kind = "produce"\ntemperature = 3\n', "did you mean 'temperature_kelvin'?"),
    "heat from nowhere": ('kind = "heat"\nlength_ps = 1\n', "needs 'from_temperature_kelvin'"),
    "equilibrate for ever": ('kind = "equilibrate"\n', "needs 'length_ps'"),
    "minimise for a time": (
        'kind = "minimise"\nlength_ps = 1\n',
        "a stage of kind minimise does not take 'length_ps'; remove it",
    ),
    "bath of verlet": ('kind = "produce"\nintegrator = "verlet"\npressure_bar = 1\n', "verlet keeps the energy"),
    "long step": ('kind = "produce"\ntimestep_fs = 2\n', "a bond to hydrogen has a period of 9 fs"),
    "too long for the mass": (
        'kind = "produce"\ntimestep_fs = 2\nhydrogen_mass_amu = 3\n',
        "hydrogen_mass_amu of at least 4",
    ),
    "no production": ('kind = "minimise"\n', "must be of kind produce"),
    "split step": ('kind = "produce"\ntimestep_fs = 0.3\n', "whole number of time steps of 0.3 fs"),
    "restraint without atoms": (
        'kind = "produce"\n[[stage.restraint]]\nkind = "position"\n',
        "a restraint of kind position needs 'atoms'",
    ),
    "cap without distance": (
        'kind = "produce"\n[[stage.restraint]]\nkind = "cap"\nbetween = ["A:1:O", "A:2:O"]\n',
        "needs 'distance_nm'",
    ),
    "half a name": (
        'kind = "produce"\n[[stage.restraint]]\nkind = "distance"\nbetween = ["A:1", "A:2:O"]\n',
        "chain:residue:atom",
    ),
}  # fmt: skip


@pytest.mark.parametrize("text, expected", BAD.values(), ids=BAD)
def test_a_stage_that_makes_no_sense_is_refused_by_name(text: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "system.toml"
    path.write_text(f'[system]\nname = "water"\n[[stage]]\n{text}')
    with pytest.raises(SettingsError) as caught:
        read_settings(path)
    assert expected in str(caught.value)
    assert str(path) in str(caught.value)


def test_nothing_but_production_may_follow_production(settings: Settings) -> None:
    late = StageSettings(kind="equilibrate", length_ps=1.0)
    with pytest.raises(SettingsError, match="move it to the front"):
        _stage(settings, StageSettings(kind="produce"), late, StageSettings(kind="produce"))


def test_a_run_without_stages_is_minimise_and_produce(settings: Settings) -> None:
    both = override_settings(settings, {"run": {"minimize": True}})
    assert [stage.kind for stage in both.stages] == ["minimise", "produce"]
    assert [stage.kind for stage in settings.stages] == ["produce"]
    assert (settings.production.timestep_fs, settings.production.steps) == (0.5, 60)


def test_a_run_from_before_there_were_stages_is_resumed(settings: Settings, classical_forces: Forces) -> None:
    def stop(progress: Progress) -> None:
        if progress.step >= 44:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start_run(settings, stop, classical_forces())
    folder = settings.run.output
    assert folder is not None
    for index in (folder / "checkpoints").glob("*/checkpoint.json"):
        entries = json.loads(index.read_text())
        del entries["stage"]
        index.write_text(json.dumps(entries))
    record = json.loads((folder / "run.json").read_text())
    del record["settings"]["run"]["frame_atoms"]
    (folder / "run.json").write_text(json.dumps(record))
    assert resume_run(folder, forces=classical_forces()).finished
    assert _read_table(folder / "energies.csv")["step"].tolist() == list(range(0, 61, 10))


@pytest.mark.physics
@pytest.mark.parametrize("integrator", ["langevin-middle", "nose-hoover"])
def test_a_bath_heats_to_its_temperature(integrator: str, settings: Settings, classical_forces: Forces) -> None:
    bath = {"integrator": integrator, "friction_per_ps": 20.0}
    stages = (
        StageSettings(kind="heat", from_temperature_kelvin=50.0, length_ps=1.0, **bath),
        StageSettings(kind="equilibrate", length_ps=1.0, **bath),
        StageSettings(kind="produce", length_ps=4.0, **bath),
    )
    changed = override_settings(
        settings, {"run": {"frame_every_fs": 100.0, "checkpoint_every_ps": 1.0, "table_every_fs": 20.0}}
    )
    folder = start_run(_stage(changed, *stages), forces=classical_forces()).folder
    temperature = _read_table(folder / "energies.csv")["temperature_K"]
    # 132 degrees of freedom fluctuate by 37 K; 40 correlation times of 0.1 ps leave 6 K of the mean.
    assert temperature.mean() == pytest.approx(300.0, abs=25.0)
    assert temperature.std() == pytest.approx(37.0, abs=12.0)


@pytest.mark.parametrize("iterations, stage, checkpoints", [(1, "produce", 1), (100, "minimise", 0)])
def test_a_minimisation_that_ends_in_time_is_kept_in_a_checkpoint(
    iterations: int, stage: str, checkpoints: int, settings: Settings, classical_forces: Forces
) -> None:
    """With no time left, one that has ended is not repeated by the next piece, and one that has not is."""
    settings = override_settings(settings, {"run": {"minimize": True, "minimize_iterations": iterations}})
    outcome = start_run(settings, forces=classical_forces(), max_hours=1e-9)
    assert (outcome.stage, outcome.step, outcome.finished) == (stage, 0, False)
    assert len(list(outcome.folder.glob("checkpoints/step-*"))) == checkpoints
    assert resume_run(outcome.folder, forces=classical_forces()).finished
