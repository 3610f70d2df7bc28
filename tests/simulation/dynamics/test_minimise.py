"""Relaxation needs forces only, and the largest of them falls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import openmm
import pytest
from openmm import app

from orbmm.errors import UnstableRun
from orbmm.simulation.dynamics.minimise import SMALL_FORCE, minimise
from orbmm.simulation.dynamics.thermometer import make_thermometer
from orbmm.simulation.force_source import ForceSource

Forces = Callable[..., ForceSource]


def _open_context(system: openmm.System, positions: np.ndarray) -> openmm.Context:
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(positions)
    return context


def _read_positions(path: Path) -> tuple[app.Topology, np.ndarray]:
    structure = app.PDBFile(str(path))
    return structure.topology, np.array(structure.getPositions(asNumpy=True)._value)


def _largest_force(context: openmm.Context) -> float:
    forces = context.getState(forces=True).getForces(asNumpy=True)._value
    return float(np.linalg.norm(forces, axis=1).max())


def test_a_long_minimisation_announces_itself_before_it_works(
    water_box: Path, classical_forces: Forces, caplog: pytest.LogCaptureFixture
) -> None:
    topology, positions = _read_positions(water_box)
    system = classical_forces().create_system(topology)
    with caplog.at_level("INFO"):
        minimise(_open_context(system, positions), make_thermometer(system), 2)
    assert caplog.messages[0] == f"minimising {len(positions)} atoms in at most 2 evaluations"
    assert caplog.messages[1].startswith("relaxed: ")


def test_a_shaken_box_relaxes(water_box: Path, classical_forces: Forces) -> None:
    topology, positions = _read_positions(water_box)
    system = classical_forces().create_system(topology)
    shaken = positions + np.random.default_rng(1).normal(scale=0.02, size=positions.shape)
    context = _open_context(system, shaken)
    energy = context.getState(energy=True).getPotentialEnergy()._value
    relaxation = minimise(context, make_thermometer(system), 300)
    assert relaxation.force_before > 10000.0
    assert relaxation.force_after < 500.0
    assert _largest_force(context) == pytest.approx(relaxation.force_after)
    assert context.getState(energy=True).getPotentialEnergy()._value < energy


def test_forces_that_are_no_gradient_relax_too(water_box: Path, classical_forces: Forces) -> None:
    """A small curl, as direct models have it, and an energy of noise that would lead a line search astray."""

    def swirl(state: openmm.State) -> tuple[float, np.ndarray]:
        positions = state.getPositions(asNumpy=True)._value
        turned = np.stack([-positions[:, 1], positions[:, 0], np.zeros(len(positions))], axis=1)
        return 1e4 * float(np.sin(1e6 * positions.sum())), 50.0 * turned

    topology, positions = _read_positions(water_box)
    system = classical_forces(lambda: openmm.PythonForce(swirl)).create_system(topology)
    context = _open_context(system, positions + np.random.default_rng(1).normal(scale=0.02, size=positions.shape))
    relaxation = minimise(context, make_thermometer(system), 300)
    assert relaxation.force_after < relaxation.force_before / 20.0


def test_a_relaxed_structure_is_left_alone(water_box: Path, classical_forces: Forces) -> None:
    topology, positions = _read_positions(water_box)
    system = classical_forces().create_system(topology)
    context = _open_context(system, positions)
    minimise(context, make_thermometer(system), 2000)
    rested = context.getState(positions=True).getPositions(asNumpy=True)._value
    again = minimise(context, make_thermometer(system), 2000)
    assert again.evaluations == 1
    assert again.force_after < SMALL_FORCE
    assert np.array_equal(rested, context.getState(positions=True).getPositions(asNumpy=True)._value)


def test_atoms_on_top_of_each_other_are_refused(water_box: Path, classical_forces: Forces) -> None:
    topology, positions = _read_positions(water_box)
    system = classical_forces().create_system(topology)
    positions[3] = positions[0]
    with pytest.raises(UnstableRun, match="the force on atom .* is not finite in evaluation 1"):
        minimise(_open_context(system, positions), make_thermometer(system), 10)


def test_particles_without_mass_stay_where_they_are() -> None:
    system = openmm.System()
    for mass in (0.0, 12.0):
        system.addParticle(mass)
    bond = openmm.HarmonicBondForce()
    bond.addBond(0, 1, 0.1, 1e5)
    system.addForce(bond)
    context = _open_context(system, np.array([[0.0, 0.0, 0.0], [0.15, 0.0, 0.0]]))
    minimise(context, make_thermometer(system), 200)
    positions = context.getState(positions=True).getPositions(asNumpy=True)._value
    assert not positions[0].any()
    assert positions[1, 0] == pytest.approx(0.1, abs=0.002)


@pytest.mark.parametrize("most, evaluations, finished", [(5, 1, False), (1, 1, True), (300, 1, False)])
def test_only_one_that_is_ended_early_is_not_finished(
    most: int, evaluations: int, finished: bool, water_box: Path, classical_forces: Forces
) -> None:
    topology, positions = _read_positions(water_box)
    system = classical_forces().create_system(topology)
    context = _open_context(system, positions)
    relaxation = minimise(context, make_thermometer(system), most, lambda: True)
    assert (relaxation.evaluations, relaxation.finished) == (evaluations, finished)
