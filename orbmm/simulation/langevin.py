"""Langevin dynamics at constant volume: integrator, bath and first velocities, all from one seed."""

from __future__ import annotations

import openmm
from openmm import app, unit

from orbmm.settings import RunSettings
from orbmm.simulation.dynamics import Dynamics
from orbmm.simulation.platform import create_context
from orbmm.simulation.seeds import derive_seed
from orbmm.simulation.thermometer import make_thermometer


def open_dynamics(topology: app.Topology, system: openmm.System, run: RunSettings, bath_step: int = 0) -> Dynamics:
    """A Context with the Langevin-middle integrator, still without positions.

    bath_step: where a resumed run begins, so that its bath does not repeat the noise of the first steps
    """

    def make_integrator() -> openmm.Integrator:
        integrator = openmm.LangevinMiddleIntegrator(
            run.temperature_kelvin * unit.kelvin,
            run.friction_per_ps / unit.picosecond,
            run.timestep_fs * unit.femtosecond,
        )
        integrator.setRandomNumberSeed(derive_seed(run.seed, "bath", bath_step))
        return integrator

    context = create_context(system, make_integrator, run.platform)
    return Dynamics(context, make_thermometer(system), topology.getPeriodicBoxVectors() is not None)


def draw_velocities(dynamics: Dynamics, run: RunSettings) -> None:
    """Give every atom a velocity of the bath's temperature; the centre rests where the System keeps it at rest."""
    context = dynamics.context
    context.setVelocitiesToTemperature(run.temperature_kelvin * unit.kelvin, derive_seed(run.seed, "velocities"))
    velocities = context.getState(velocities=True).getVelocities(asNumpy=True)._value
    context.setVelocities(dynamics.thermometer.settle(velocities))
