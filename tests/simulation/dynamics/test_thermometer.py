"""Temperatures count the degrees of freedom that the System really has."""

from __future__ import annotations

import numpy as np
import openmm
import pytest
from openmm import unit

from orbmm.simulation.dynamics.thermometer import Elements, Thermometer, make_thermometer
from orbmm.simulation.system.integrators import derive_seed
from orbmm.units import KJ_PER_MOL_PER_KELVIN

MASSES = (1.0, 16.0, 1.0, 12.0)


def _make_system(momentum_removed: bool) -> openmm.System:
    system = openmm.System()
    for mass in MASSES:
        system.addParticle(mass)
    if momentum_removed:
        system.addForce(openmm.CMMotionRemover())
    return system


def test_degrees_of_freedom_are_counted() -> None:
    assert make_thermometer(_make_system(momentum_removed=False)).degrees_of_freedom == 12
    system = _make_system(momentum_removed=True)
    assert make_thermometer(system).degrees_of_freedom == 9
    system.addConstraint(0, 1, 0.1)
    system.addParticle(0.0)
    assert make_thermometer(system).degrees_of_freedom == 8


def test_the_temperature_of_known_velocities_is_the_analytic_one() -> None:
    thermometer = Thermometer(np.array([2.0, 3.0]), degrees_of_freedom=3, removes_drift=False)
    kinetic = thermometer.kinetic_energy(np.array([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]))
    assert kinetic == 0.5 * 2.0 * 1.0 + 0.5 * 3.0 * 4.0
    assert thermometer.temperature(kinetic) == pytest.approx(7.0 / (1.5 * KJ_PER_MOL_PER_KELVIN), rel=1e-14)


@pytest.mark.parametrize("momentum_removed", [False, True])
def test_the_kinetic_energy_is_openmms_own_once_the_centre_rests(momentum_removed: bool) -> None:
    system = _make_system(momentum_removed)
    context = openmm.Context(
        system, openmm.LangevinMiddleIntegrator(300, 1, 0.001), openmm.Platform.getPlatformByName("Reference")
    )
    context.setPositions(np.zeros((4, 3)))
    context.setVelocitiesToTemperature(300, 5)
    thermometer = make_thermometer(system)
    drawn = context.getState(velocities=True, energy=True)
    ours = thermometer.kinetic_energy(drawn.getVelocities(asNumpy=True)._value)
    context.setVelocities(thermometer.remove_drift(drawn.getVelocities(asNumpy=True)._value))
    settled = context.getState(energy=True).getKineticEnergy().value_in_unit(unit.kilojoule_per_mole)
    assert ours == pytest.approx(settled, rel=1e-12)
    with_drift = drawn.getKineticEnergy().value_in_unit(unit.kilojoule_per_mole)
    assert (abs(ours - with_drift) > 0.01) == momentum_removed


@pytest.mark.physics
def test_a_bath_of_300_kelvin_reads_300_kelvin() -> None:
    """12 free particles at high friction: 4,000 samples of 33 degrees, 0.4 K standard error (3N would read 275)."""
    system = openmm.System()
    for _ in range(3):
        for mass in MASSES:
            system.addParticle(mass)
    system.addForce(openmm.CMMotionRemover())
    integrator = openmm.LangevinMiddleIntegrator(300.0, 500.0, 0.001)
    integrator.setRandomNumberSeed(7)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(np.zeros((12, 3)))
    thermometer = make_thermometer(system)
    kinetic = []
    for _ in range(4000):
        integrator.step(5)
        kinetic.append(thermometer.kinetic_energy(context.getState(velocities=True).getVelocities(asNumpy=True)._value))
    assert abs(thermometer.temperature(float(np.mean(kinetic))) - 300.0) < 2.0
    too_many = Thermometer(thermometer.masses, thermometer.degrees_of_freedom + 3, removes_drift=True)
    assert abs(too_many.temperature(float(np.mean(kinetic))) - 300.0) > 20.0


@pytest.mark.parametrize("removes_drift", [True, False])
def test_each_element_reads_the_temperature_of_its_velocities(removes_drift: bool) -> None:
    """Four atoms, of which one holds half of the mass: what the centre of mass takes matters most to that one."""
    masses = np.array([1.0, 1.0, 12.0, 16.0])
    elements = Elements(("C", "H", "O"), np.array([1, 1, 0, 2]))
    thermometer = Thermometer(masses, 12 - 3 * removes_drift, removes_drift, elements)
    assert thermometer.element_degrees.sum() == pytest.approx(thermometer.degrees_of_freedom)
    draws = (
        np.random.default_rng(3).normal(size=(20_000, 4, 3)) * np.sqrt(KJ_PER_MOL_PER_KELVIN * 300.0 / masses)[:, None]
    )
    mean = np.mean([thermometer.element_temperatures(velocities) for velocities in draws], axis=0)
    assert np.abs(mean - 300.0).max() < 6.0  # three degrees at least: 245 K a draw, 1.7 K in 20,000
    without_share = mean * thermometer.element_degrees / (3.0 * np.array([1, 2, 1]))
    assert (np.abs(without_share - 300.0).max() > 100.0) == removes_drift
    named = thermometer.name_temperatures(draws[0])
    total = thermometer.temperature(thermometer.kinetic_energy(draws[0])) * thermometer.degrees_of_freedom
    assert np.dot(list(named.values()), thermometer.element_degrees) == pytest.approx(total)


def test_without_a_topology_no_element_has_a_temperature() -> None:
    assert make_thermometer(_make_system(momentum_removed=True)).name_temperatures(np.ones((4, 3))) == {}


def test_removing_drift_leaves_no_momentum_and_spares_massless_particles() -> None:
    thermometer = Thermometer(np.array([1.0, 16.0, 0.0]), degrees_of_freedom=3, removes_drift=True)
    velocities = thermometer.remove_drift(np.array([[1.0, 2.0, 3.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    assert np.allclose(thermometer.masses @ velocities, 0.0, atol=1e-15)
    assert not velocities[2].any()


def test_each_purpose_has_its_own_seed() -> None:
    seeds = {
        derive_seed(seed, purpose, step) for seed in (1, 2) for purpose in ("bath", "velocities") for step in (0, 9)
    }
    assert len(seeds) == 8
    assert all(1 <= seed < 2**31 for seed in seeds)
    assert derive_seed(1, "bath") == derive_seed(1, "bath", 0)
