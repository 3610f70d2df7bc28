"""The integrator of a stage, and the seeds of all random choices, derived from the one seed in the settings."""

from __future__ import annotations

import hashlib

import openmm
from openmm import unit

from orbmm.settings import Stage


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


_LARGEST = 2**31 - 1


def derive_seed(seed: int, purpose: str, step: int = 0) -> int:
    """A seed for OpenMM (1 ... 2^31 - 1; 0 would mean "any").

    OpenMM draws velocities and the bath's noise with the same generator, so equal seeds would correlate them.
    """
    digest = hashlib.sha256(f"{seed} {purpose} {step}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % _LARGEST + 1
