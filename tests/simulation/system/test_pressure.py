"""Constant pressure: the volume moves, molecules are moved as a whole, and the energy is fine enough to decide by."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import mdtraj
import numpy as np
import openmm
import pytest
from openmm import app, unit

from orbmm.checkpoints.catalog import find_record
from orbmm.errors import RunError
from orbmm.forces.attach import create_system, mark_molecules
from orbmm.settings import ModelSettings, Settings, Stage, StageSettings, override_settings
from orbmm.simulation.force_source import ForceIdentity, ForceSource, NetworkForces
from orbmm.simulation.progress import Progress
from orbmm.simulation.run import resume_run, start_run
from orbmm.simulation.start.structure import Structure
from orbmm.simulation.system.integrators import check_molecules, make_barostat

Forces = Callable[..., ForceSource]
pytestmark = pytest.mark.filterwarnings("default")  # what torch and Warp warn of on loading is not ours


@pytest.fixture
def compressed(settings: Settings) -> Settings:
    """A run at a pressure that squeezes the box, which 15 waters leave half empty."""
    stage = StageSettings(kind="produce", length_ps=0.25, pressure_bar=5000.0)
    return dataclasses.replace(settings, stage=(stage,))


def test_the_volume_moves_and_is_in_the_table(compressed: Settings, classical_forces: Forces) -> None:
    folder = start_run(compressed, forces=classical_forces()).folder
    rows = np.genfromtxt(folder / "energies.csv", delimiter=",", names=True)
    frames = mdtraj.load(folder / "trajectory.xtc", top=folder / "topology.pdb")
    assert len(set(rows["volume_nm3"])) > 3
    assert rows["volume_nm3"][0] == pytest.approx(frames.unitcell_volumes[0], rel=1e-5)
    assert rows["volume_nm3"][-1] == pytest.approx(frames.unitcell_volumes[-1], rel=1e-5)


def test_a_run_at_constant_pressure_is_resumed_without_a_gap(compressed: Settings, classical_forces: Forces) -> None:
    def stop(progress: Progress) -> None:
        if progress.step >= 230:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start_run(compressed, stop, classical_forces())
    assert compressed.run.output is not None
    folder = resume_run(compressed.run.output, forces=classical_forces()).folder
    rows = np.genfromtxt(folder / "energies.csv", delimiter=",", names=True)
    assert rows["step"].tolist() == list(range(0, 501, 10))
    assert np.abs(np.diff(rows["volume_nm3"])).max() < 0.2 * rows["volume_nm3"][0]


def test_resumed_at_constant_pressure_all_but_the_size_of_moves_goes_on(
    compressed: Settings, classical_forces: Forces, tmp_path: Path
) -> None:
    """OpenMM's checkpoint holds the random numbers of a barostat, but not how large its moves have become."""

    def stop(progress: Progress) -> None:
        if progress.step >= 230:
            raise KeyboardInterrupt

    # A checkpoint at each move, so that the resumed run makes its moves at the same steps.
    settings = override_settings(compressed, {"run": {"checkpoint_every_ps": 0.0125, "seed": 3}})
    whole = start_run(override_settings(settings, {"run": {"output": tmp_path / "whole"}}), forces=classical_forces())
    with pytest.raises(KeyboardInterrupt):
        start_run(settings, stop, classical_forces())
    assert settings.run.output is not None
    shutil.copytree(settings.run.output, tmp_path / "copy")
    resumed = [resume_run(path, forces=classical_forces()).folder for path in (settings.run.output, tmp_path / "copy")]
    one, other, again = (
        np.genfromtxt(folder / "energies.csv", delimiter=",", names=True)[
            ["step", "potential_energy_kJ_mol", "volume_nm3"]
        ]
        for folder in (whole.folder, *resumed)
    )
    assert np.array_equal(other, again)
    # Moves grow or shrink after ten of them, at step 250; the counts to ten are not in the checkpoint of step 225.
    known = one["step"] < 275
    assert len(set(one["volume_nm3"][known & (one["step"] > 225)])) > 1
    assert np.array_equal(one[known], other[known])
    assert not np.array_equal(one["volume_nm3"][~known], other["volume_nm3"][~known])


def test_a_run_at_constant_volume_has_no_column_of_it(settings: Settings, classical_forces: Forces) -> None:
    folder = start_run(settings, forces=classical_forces()).folder
    assert "volume" not in (folder / "energies.csv").read_text()


def _squeeze(system: openmm.System, structure: app.PDBFile) -> tuple[np.ndarray, np.ndarray, float]:
    """Positions (N, 3) [nm] before and after a barostat has been at work on atoms at rest, and the change of volume."""
    barostat = openmm.MonteCarloBarostat(1e4 * unit.bar, 300 * unit.kelvin, 1)
    barostat.setRandomNumberSeed(1)
    system.addForce(barostat)
    context = openmm.Context(system, openmm.VerletIntegrator(1e-9), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(structure.positions)
    first = context.getState(positions=True)
    context.getIntegrator().step(30)
    last = context.getState(positions=True)
    volumes = [state.getPeriodicBoxVolume()._value for state in (first, last)]
    before, after = (state.getPositions(asNumpy=True)._value for state in (first, last))
    return before, after, volumes[1] / volumes[0]


def _bond_lengths(topology: app.Topology, positions: np.ndarray) -> np.ndarray:
    return np.array([np.linalg.norm(positions[a.index] - positions[b.index]) for a, b in topology.bonds()])


@pytest.mark.parametrize("force", ["TorchForce", "PythonForce"], indirect=True)
def test_molecules_of_a_network_are_moved_as_a_whole(force: str, water_box: Path) -> None:
    structure = app.PDBFile(str(water_box))
    system = create_system(structure.topology, ModelSettings(device="cpu", force=force))
    before, after, ratio = _squeeze(system, structure)
    assert abs(ratio - 1.0) > 1e-3
    assert np.abs(_bond_lengths(structure.topology, after) - _bond_lengths(structure.topology, before)).max() < 1e-6


def test_without_bonds_of_zero_strength_they_would_be_scaled(water_box: Path) -> None:
    structure = app.PDBFile(str(water_box))
    system = create_system(structure.topology, ModelSettings(device="cpu"))
    names = [force.getName() for force in system.getForces()]
    system.removeForce(names.index("MoleculesOfTheNetwork"))
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    with pytest.raises(RunError, match="atoms 1 and 0 are bonded, but not in the forces"):
        check_molecules(context, structure.topology)
    before, after, ratio = _squeeze(system, structure)
    assert abs(ratio - 1.0) > 1e-4
    assert np.abs(_bond_lengths(structure.topology, after) - _bond_lengths(structure.topology, before)).max() > 1e-5


@pytest.mark.parametrize("force", ["TorchForce", "PythonForce"], indirect=True)
def test_energies_reach_openmm_in_double_precision(force: str, water_box: Path) -> None:
    structure = app.PDBFile(str(water_box))
    system = create_system(structure.topology, ModelSettings(device="cpu", force=force, precision="float64"))
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("CPU"))
    positions = np.array(structure.positions._value)
    energies = []
    for shift in (0.0, 1e-6):
        positions[0, 0] += shift
        context.setPositions(positions)
        energies.append(context.getState(energy=True).getPotentialEnergy()._value)
    assert abs(energies[0]) > 1e5
    assert np.float32(energies[0]) == np.float32(energies[1])  # float32 does not see it
    force_x = context.getState(forces=True).getForces(asNumpy=True)._value[0, 0]
    assert energies[1] - energies[0] == pytest.approx(-1e-6 * force_x, rel=0.02, abs=1e-7)


@pytest.mark.parametrize("name, warned", [("orb-mini-direct-inf-xtb", True), ("orb-mini-conservative-inf-xtb", False)])
def test_a_direct_model_under_pressure_is_warned_of(
    name: str, warned: bool, compressed: Settings, classical_forces: Forces, caplog: pytest.LogCaptureFixture
) -> None:
    changes = {"model": {"name": name}, "run": {"length_ps": 0.01}}
    with caplog.at_level(logging.WARNING):
        start_run(override_settings(compressed, changes), forces=classical_forces())
    assert ("its forces are not the gradient of its energy" in caplog.text) is warned


def test_a_network_runs_at_constant_pressure(compressed: Settings) -> None:
    stage = dataclasses.replace(compressed.stage[0], length_ps=0.03)
    model = dataclasses.replace(compressed.model, device="cpu")
    folder = start_run(dataclasses.replace(compressed, stage=(stage,), model=model), forces=NetworkForces()).folder
    rows = np.genfromtxt(folder / "energies.csv", delimiter=",", names=True)
    assert len(set(rows["volume_nm3"])) > 1


def test_pressure_without_a_box_is_refused(compressed: Settings, classical_forces: Forces, tmp_path: Path) -> None:
    lines = compressed.system.structure.read_text().splitlines()
    (tmp_path / "vacuum.pdb").write_text("\n".join(line for line in lines if not line.startswith("CRYST1")))
    vacuum = override_settings(compressed, {"system": {"structure": tmp_path / "vacuum.pdb"}})
    with pytest.raises(RunError, match="pressure_bar is 5000, but the structure has no box"):
        start_run(vacuum, forces=VacuumForces())


class VacuumForces:
    """Masses alone."""

    identity = ForceIdentity("none", "cpu", "0" * 64)

    def resolve(self, model: ModelSettings, start: Structure, steps: int | None) -> VacuumForces:
        """As given."""
        self.model, self.record = model, find_record(model.name)
        return self

    def open_rotation(self, topology: app.Topology) -> None:
        return None

    def open_confidence(self, topology: app.Topology) -> None:
        """Masses have none."""

    def create_system(self, topology: app.Topology) -> openmm.System:
        """A System without forces."""
        system = openmm.System()
        for atom in topology.atoms():
            system.addParticle(atom.element.mass)
        return system


@pytest.mark.physics
@pytest.mark.parametrize("marked, particles", [(True, 15), (False, 45)])
def test_without_forces_the_volume_is_that_of_an_ideal_gas_of_molecules(
    marked: bool, particles: int, water_box: Path
) -> None:
    structure = app.PDBFile(str(water_box))
    system = VacuumForces().create_system(structure.topology)
    volume = 10.0  # nm^3
    system.setDefaultPeriodicBoxVectors(*(np.eye(3) * volume ** (1 / 3)))
    system.addForce(
        openmm.CustomExternalForce("periodicdistance(x, y, z, 0, 0, 0)")
    )  # on no atom: it only says periodic
    if marked:
        mark_molecules(system, structure.topology)
    kelvin = 300.0
    pressure = (particles + 1) * unit.BOLTZMANN_CONSTANT_kB * kelvin * unit.kelvin / (volume * unit.nanometer**3)
    stage = Stage("produce", kelvin, 0.5, pressure_bar=pressure.value_in_unit(unit.bar))
    barostat = make_barostat(stage, seed=1)
    barostat.setFrequency(1)
    system.addForce(barostat)
    context = openmm.Context(system, openmm.VerletIntegrator(1e-9), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(structure.positions)
    context.getIntegrator().step(2000)
    volumes = []
    for _ in range(4000):
        context.getIntegrator().step(10)
        volumes.append(context.getState().getPeriodicBoxVolume()._value)
    # V has a gamma distribution: its relative width is 1/sqrt(N + 1), and some 400 draws are independent.
    assert np.mean(volumes) == pytest.approx(volume, rel=4.0 / np.sqrt(400 * (particles + 1)))
    assert np.std(volumes) / np.mean(volumes) == pytest.approx((particles + 1) ** -0.5, rel=0.15)
