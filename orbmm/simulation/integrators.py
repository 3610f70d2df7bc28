"""The integrator of a stage, and the Context that it moves: all randomness from one seed."""

from __future__ import annotations

import openmm
from openmm import unit

from orbmm.settings import StageSettings

STEPS_BETWEEN_TEMPERATURES = 50
"""How often heat raises the temperature of its bath."""


def make_integrator(stage: StageSettings, seed: int) -> openmm.Integrator:
    """The integrator of a stage that moves, or any for one that only needs forces."""
    if not stage.moves:
        return openmm.VerletIntegrator(1.0 * unit.femtosecond)
    timestep = stage.timestep_fs * unit.femtosecond
    if stage.integrator == "verlet":
        return openmm.VerletIntegrator(timestep)
    bath = (bath_temperature(stage, 0) * unit.kelvin, stage.friction_per_ps / unit.picosecond, timestep)
    if stage.integrator == "nose-hoover":
        return openmm.NoseHooverIntegrator(*bath)
    integrator = openmm.LangevinMiddleIntegrator(*bath)
    integrator.setRandomNumberSeed(seed)
    return integrator


def bath_temperature(stage: StageSettings, step: int) -> float:
    """Temperature of the bath [K] after so many steps of a stage; heat raises it in small jumps."""
    if stage.from_temperature_kelvin is None:
        return float(stage.temperature_kelvin)
    taken = step // STEPS_BETWEEN_TEMPERATURES * STEPS_BETWEEN_TEMPERATURES
    fraction = min(1.0, taken / stage.steps)
    return stage.from_temperature_kelvin + fraction * (stage.temperature_kelvin - stage.from_temperature_kelvin)


def set_temperature(context: openmm.Context, kelvin: float) -> None:
    """Tell the bath, and a barostat where there is one, a temperature."""
    integrator = context.getIntegrator()
    if not isinstance(integrator, openmm.VerletIntegrator):
        integrator.setTemperature(kelvin * unit.kelvin)
    if openmm.MonteCarloBarostat.Temperature() in context.getParameters():
        context.setParameter(openmm.MonteCarloBarostat.Temperature(), kelvin)
