"""The integrator and the barostat of a stage, and their seeds, derived from one seed in the settings."""

from __future__ import annotations

import hashlib

import openmm
from openmm import app, unit

from orbmm.errors import RunError
from orbmm.forces.difference import FAST_GROUP, SLOW_GROUP
from orbmm.settings import Stage


def make_integrator(stage: Stage, seed: int) -> openmm.Integrator:
    """Return the integrator of a stage; for minimise, which only needs forces, a Verlet integrator."""
    timestep = stage.timestep_fs * unit.femtosecond
    if stage.inner_steps > 1:
        return _make_multiple_steps(stage, seed)
    if not stage.moves or stage.integrator == "verlet":
        return openmm.VerletIntegrator(timestep)
    bath = (stage.start_temperature_kelvin * unit.kelvin, stage.friction_per_ps / unit.picosecond, timestep)
    if stage.integrator == "nose-hoover":
        return openmm.NoseHooverIntegrator(*bath)
    integrator = openmm.LangevinMiddleIntegrator(*bath)
    integrator.setRandomNumberSeed(seed)
    return integrator


def _make_multiple_steps(stage: Stage, seed: int) -> openmm.CustomIntegrator:
    """Return the integrator that applies the fast forces in every step and the difference in every outer step."""
    groups, outer = [(FAST_GROUP, stage.inner_steps), (SLOW_GROUP, 1)], stage.timestep_fs * unit.femtosecond
    if stage.integrator == "verlet":
        return openmm.MTSIntegrator(outer, groups)
    friction = stage.friction_per_ps / unit.picosecond
    integrator = openmm.MTSLangevinIntegrator(stage.start_temperature_kelvin * unit.kelvin, friction, outer, groups)
    integrator.setRandomNumberSeed(seed)
    return integrator


def check_groups(system: openmm.System) -> None:
    """Raise RunError for a force in a group that no integrator of multiple time steps applies."""
    for force in system.getForces():
        if force.getForceGroup() not in (FAST_GROUP, SLOW_GROUP):
            raise RunError(
                f"{force.getName()} is in force group {force.getForceGroup()}, which multiple time steps never apply; "
                f"put it into group {FAST_GROUP} (every step) or {SLOW_GROUP} (every outer step)"
            )


_LARGEST = 2**31 - 1


def derive_seed(seed: int, purpose: str, step: int = 0) -> int:
    """Return a seed for OpenMM (1 ... 2^31 - 1; 0 would mean a random seed).

    OpenMM draws velocities and the noise of the bath with the same generator, so equal seeds would correlate them.
    """
    digest = hashlib.sha256(f"{seed} {purpose} {step}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % _LARGEST + 1


_STEPS_BETWEEN_MOVES = 25


def make_barostat(stage: Stage, seed: int) -> openmm.MonteCarloBarostat:
    """Return the barostat of a stage, with its pressure and temperature."""
    barostat = openmm.MonteCarloBarostat(
        stage.pressure_bar * unit.bar, stage.temperature_kelvin * unit.kelvin, _STEPS_BETWEEN_MOVES
    )
    barostat.setRandomNumberSeed(seed)
    return barostat


def check_molecules(context: openmm.Context, topology: app.Topology) -> None:
    """Raise RunError if OpenMM would not keep the molecules of the topology whole when it scales the box.

    OpenMM finds molecules by the bonds in the forces of a System. So orbmm.forces adds bonds of zero strength.
    """
    molecule = {atom: number for number, atoms in enumerate(context.getMolecules()) for atom in atoms}
    for one, other in topology.bonds():
        if molecule[one.index] != molecule[other.index]:
            raise RunError(
                f"atoms {one.index} and {other.index} are bonded, but not in the forces of the System, so a barostat "
                "would scale the bond between them: add a HarmonicBondForce of zero strength between them"
            )


def set_bath(context: openmm.Context, stage: Stage) -> None:
    """Set the pressure and temperature of a barostat to those of its stage; a checkpoint may have changed them."""
    if stage.pressure_bar is not None:
        context.setParameter(openmm.MonteCarloBarostat.Pressure(), stage.pressure_bar)
        context.setParameter(openmm.MonteCarloBarostat.Temperature(), stage.temperature_kelvin)
