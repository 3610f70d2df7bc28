"""The integrator of a stage, and the seeds of all random choices, which are derived from one seed in the settings."""

from __future__ import annotations

import hashlib

import openmm
from openmm import unit

from orbmm.settings import Stage


def make_integrator(stage: Stage, seed: int) -> openmm.Integrator:
    """Return the integrator of a stage; for minimise, which only needs forces, a Verlet integrator."""
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
    """Return a seed for OpenMM (1 ... 2^31 - 1; 0 would mean a random seed).

    OpenMM draws velocities and the noise of the bath with the same generator, so equal seeds would correlate them.
    """
    digest = hashlib.sha256(f"{seed} {purpose} {step}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % _LARGEST + 1
