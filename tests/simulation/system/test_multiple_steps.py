"""Runs with multiple time steps: steps are outer steps, reading energies changes nothing, every force is applied."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import mdtraj
import numpy as np
import openmm
import pytest
from openmm import app, unit

from orbmm.checkpoints.catalog import find_record
from orbmm.errors import RunError, SettingsError
from orbmm.forces.attach import create_system
from orbmm.forces.rotation import open_rotation
from orbmm.run_files.checkpoints import STATE_FILE
from orbmm.run_files.energies import read_energy_table
from orbmm.run_files.state_xml import read_state
from orbmm.settings import Settings, StageSettings, override_settings, read_settings
from orbmm.simulation.dynamics.dynamics import Dynamics, set_temperature
from orbmm.simulation.folder.changes import ResumeRequest
from orbmm.simulation.force_source import ForceSource
from orbmm.simulation.run import resume_run, start_run
from orbmm.units import KJ_PER_MOL_PER_KELVIN

Forces = Callable[..., ForceSource]
FAST = "orb-mini-direct-inf-xtb"


def split(settings: Settings, **run: object) -> Settings:
    """The same run with outer steps of 1 fs, of two inner steps each."""
    return override_settings(settings, {"model": {"fast": FAST}, "run": {"outer_steps": 2, **run}})


def make_correction(group: int = 1) -> openmm.Force:
    """A weak pull to the middle of the box, which stands for the difference of two networks."""
    force = openmm.CustomExternalForce("20*((x-0.4)^2 + (y-0.4)^2 + (z-0.4)^2)")
    for index in range(45):
        force.addParticle(index)
    force.setForceGroup(group)
    force.setName("Correction")
    return force


def find_newest(folder: Path) -> Path:
    return max((folder / "checkpoints").iterdir())


def read_end(folder: Path) -> np.ndarray:
    state = openmm.XmlSerializer.deserialize((find_newest(folder) / "state.xml").read_text())
    return np.array(state.getPositions(asNumpy=True)._value)


def start(settings: Settings, forces: Forces) -> Path:
    return start_run(settings, forces=forces(make_correction)).folder


def test_steps_rows_and_frames_count_outer_steps(settings: Settings, classical_forces: Forces) -> None:
    outcome = start_run(split(settings), forces=classical_forces(make_correction))
    assert outcome.step == 30 and outcome.finished
    table = read_energy_table(outcome.folder / "energies.csv")
    assert np.allclose(table.time_ps, 0.005 * np.arange(7))
    frames = mdtraj.load(outcome.folder / "trajectory.xtc", top=outcome.folder / "topology.pdb")
    assert np.allclose(frames.time, 0.002 * np.arange(16))


def test_how_often_energies_are_read_does_not_change_a_run(
    settings: Settings, classical_forces: Forces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenMM draws random numbers for the kinetic energy of such an integrator."""
    seldom = start(split(settings, output=tmp_path / "seldom", table_every_fs=10.0), classical_forces)
    often = start(split(settings, output=tmp_path / "often", table_every_fs=1.0), classical_forces)
    assert np.array_equal(read_end(seldom), read_end(often))

    def observe(self: Dynamics, speed: float):
        state = self.context.getState(positions=True, velocities=True, energy=True, forces=True)
        return self.read_frame(state, energy=True, speed=speed)

    monkeypatch.setattr(Dynamics, "_observe_custom", observe)
    disturbed = start(split(settings, output=tmp_path / "disturbed", table_every_fs=1.0), classical_forces)
    assert not np.array_equal(read_end(seldom), read_end(disturbed)), "without that care the run differs"


@pytest.mark.parametrize("step", [7, 20])
def test_a_resumed_run_is_the_uninterrupted_one(
    step: int, settings: Settings, classical_forces: Forces, tmp_path: Path
) -> None:
    def stop(progress) -> None:
        if progress.step >= step:
            raise KeyboardInterrupt

    whole = start(split(settings, output=tmp_path / "whole"), classical_forces)
    with pytest.raises(KeyboardInterrupt):
        start_run(split(settings), stop, classical_forces(make_correction))
    folder = resume_run(settings.run.output, forces=classical_forces(make_correction)).folder
    assert np.array_equal(read_end(folder), read_end(whole))
    lines = [(run / "energies.csv").read_text().splitlines() for run in (folder, whole)]
    rows = [[line.rsplit(",", 1)[0] for line in table] for table in lines]
    assert rows[0] == rows[1]


def test_outer_steps_conserve_the_energy_that_all_groups_have(settings: Settings, classical_forces: Forces) -> None:
    """Leapfrog would show the kinetic energy half a step late; these velocities are of the full step."""
    verlet = StageSettings(kind="produce", integrator="verlet")
    calm = dataclasses.replace(split(settings, table_every_fs=1.0), stage=(verlet,))
    total = read_energy_table(start(calm, classical_forces) / "energies.csv").total
    kinetic = read_energy_table(settings.run.output / "energies.csv").kinetic
    assert np.ptp(total) < 0.1 * np.ptp(kinetic)


def test_the_bath_of_a_heat_stage_follows_its_ramp(settings: Settings, classical_forces: Forces) -> None:
    integrator = openmm.MTSLangevinIntegrator(
        10 * unit.kelvin, 1 / unit.picosecond, 1 * unit.femtosecond, [(0, 2), (1, 1)]
    )
    system = openmm.System()
    system.addParticle(1.0)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
    set_temperature(context, 250.0)
    assert integrator.getGlobalVariableByName("kT") == pytest.approx(250.0 * KJ_PER_MOL_PER_KELVIN, rel=1e-12)
    assert not hasattr(integrator, "setTemperature"), "the way of OpenMM's own Langevin integrators does not exist here"
    heat = StageSettings(kind="heat", length_ps=0.2, from_temperature_kelvin=10.0, friction_per_ps=100.0)
    heated = dataclasses.replace(split(settings), stage=(heat, StageSettings(kind="produce")))
    warm = read_energy_table(start(heated, classical_forces) / "equilibration.csv").temperature
    assert warm[:5].mean() < 100.0 and warm[-5:].mean() > 150.0


def test_a_force_that_no_step_would_apply_is_refused_by_name(settings: Settings, classical_forces: Forces) -> None:
    with pytest.raises(RunError, match="Correction is in force group 2, which multiple time steps never apply; put it"):
        start_run(split(settings), forces=classical_forces(lambda: make_correction(2)))
    assert start_run(settings, forces=classical_forces(lambda: make_correction(2))).finished, "others apply all groups"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"run": {"outer_steps": 2}}, r"outer_steps is 2, but \[model\] has no 'fast'; set it, or remove outer_steps"),
        (
            {"model": {"fast": FAST}, "run": {"outer_steps": 5}},
            "is 2.5 fs, but longer outer steps than 2 fs gain",
        ),
        (
            {"model": {"fast": FAST}, "run": {"outer_steps": 5, "hydrogen_mass_amu": 4.0, "timestep_fs": 1.0}},
            "is 5 fs, but longer outer steps than 4 fs gain energy; use that$",
        ),
        ({"model": {"fast": FAST}, "run": {"timestep_fs": 1.0, "outer_steps": 2}}, "need steps of at most 0.5 fs"),
    ],
)
def test_steps_that_were_not_shown_to_be_stable_are_refused(changes: dict, complaint: str, settings: Settings) -> None:
    with pytest.raises(SettingsError, match=complaint):
        override_settings(settings, changes)


def test_other_weights_of_the_fast_model_are_refused_on_resume(settings: Settings, classical_forces: Forces) -> None:
    folder = start(split(settings), classical_forces)
    forces = classical_forces(make_correction)
    forces.identity = dataclasses.replace(forces.identity, fast_weights_sha256="1" * 64)
    longer = ResumeRequest(extend_ps=0.01)
    with pytest.raises(RunError, match=r"sha256 000000000000... then, 000000000000... and 111111111111... now"):
        resume_run(folder, forces=forces, request=longer)
    assert resume_run(folder, forces=classical_forces(make_correction), request=longer).finished


def test_a_run_goes_on_with_its_fast_model_only(settings: Settings, classical_forces: Forces) -> None:
    folder = start(split(settings), classical_forces)
    path = folder / "settings.toml"
    path.write_text(
        "".join(line for line in path.read_text().splitlines(True) if FAST not in line and "outer" not in line)
    )
    request = ResumeRequest(extend_ps=0.01, accept_changes=True)
    with pytest.raises(RunError, match=r"(model.fast|run.outer_steps).* cannot change within a run"):
        resume_run(folder, forces=classical_forces(make_correction), request=request)


def test_a_nose_hoover_stage_takes_no_multiple_time_steps(settings: Settings) -> None:
    with pytest.raises(SettingsError, match="nose-hoover takes no multiple time steps"):
        dataclasses.replace(split(settings), stage=(StageSettings(kind="produce", integrator="nose-hoover"),))


def test_two_steps_make_an_outer_one_unless_the_settings_say_otherwise(settings: Settings) -> None:
    assert override_settings(settings, {"model": {"fast": FAST}}).production.timestep_fs == 1.0
    heavy = {"outer_steps": 4, "timestep_fs": 1.0, "hydrogen_mass_amu": 4.0, "length_ps": 0.04}
    heavy |= {"frame_every_fs": 4.0, "table_every_fs": 4.0, "checkpoint_every_ps": 0.008}
    assert override_settings(settings, {"model": {"fast": FAST}, "run": heavy}).production.timestep_fs == 4.0


def test_a_run_of_two_networks_records_both_and_has_the_energy_of_the_conservative_one(settings: Settings) -> None:
    settings = split(settings, length_ps=0.004, checkpoint_every_ps=0.002, table_every_fs=1.0)
    folder = start_run(settings).folder
    record = json.loads((folder / "run.json").read_text())
    assert record["weights_sha256"] == find_record(settings.model.name).sha256
    assert record["fast_weights_sha256"] == find_record(FAST).sha256
    table, topology = read_energy_table(folder / "energies.csv"), app.PDBFile(str(folder / "topology.pdb")).topology
    energies = {}
    for name in (settings.model.name, FAST):
        model = dataclasses.replace(read_settings(folder / "settings.toml").model, name=name, fast=None)
        system = create_system(topology, model)
        context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
        context.setPositions(read_end(folder))
        energies[name] = context.getState(energy=True).getPotentialEnergy()._value
    assert table.potential[-1] == pytest.approx(energies[settings.model.name], abs=1e-3)
    assert abs(table.potential[-1] - energies[FAST]) > 1.0
    state, conservative = read_state(find_newest(folder) / STATE_FILE), dataclasses.replace(settings.model, fast=None)
    meter = open_rotation(topology, conservative)
    rotation = np.genfromtxt(folder / "energies.csv", delimiter=",", names=True)["rotational_gradient_kJ_mol"]
    assert rotation[-1] == pytest.approx(meter.measure(state.positions, state.box), rel=1e-3)
    assert rotation[0] != pytest.approx(rotation[-1], rel=1e-3), "it is of its own frame"
