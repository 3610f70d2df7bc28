"""The integrator of a stage, and the Context that it moves: all randomness from one seed."""

from __future__ import annotations

import openmm
from openmm import unit

from orbmm.settings import Stage

STEPS_BETWEEN_TEMPERATURES = 50
"""How often heat raises the temperature of its bath."""


def make_integrator(stage: Stage, seed: int) -> openmm.Integrator:
    """The integrator of a stage that moves; any for one that only needs forces."""
    timestep = stage.timestep_fs * unit.femtosecond
    if not stage.moves or stage.integrator == "verlet":
        return openmm.VerletIntegrator(timestep)
    bath = (stage.start_temperature_kelvin * unit.kelvin, stage.friction_per_ps / unit.picosecond, timestep)
    if stage.integrator == "nose-hoover":
        return openmm.NoseHooverIntegrator(*bath)
    integrator = openmm.LangevinMiddleIntegrator(*bath)
    integrator.setRandomNumberSeed(seed)
    return integrator


def bath_temperature(stage: Stage, step: int) -> float:
    """Temperature of the bath [K] after so many steps of a stage; heat raises it in small jumps."""
    taken = step // STEPS_BETWEEN_TEMPERATURES * STEPS_BETWEEN_TEMPERATURES
    start, end = stage.start_temperature_kelvin, stage.temperature_kelvin
    return start + min(1.0, taken / stage.steps) * (end - start) if start != end else end


def set_temperature(context: openmm.Context, kelvin: float) -> None:
    """Tell the bath, and a barostat where there is one, a temperature."""
    integrator = context.getIntegrator()
    if not isinstance(integrator, openmm.VerletIntegrator):
        integrator.setTemperature(kelvin * unit.kelvin)
    if openmm.MonteCarloBarostat.Temperature() in context.getParameters():
        context.setParameter(openmm.MonteCarloBarostat.Temperature(), kelvin)
