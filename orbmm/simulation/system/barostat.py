"""Constant pressure: a Monte Carlo barostat that moves whole molecules."""

from __future__ import annotations

import openmm
from openmm import app, unit

from orbmm.errors import RunError
from orbmm.settings import Stage

_STEPS_BETWEEN_MOVES = 25


def make_barostat(stage: Stage, seed: int) -> openmm.MonteCarloBarostat:
    """The barostat of a stage, at its pressure and temperature."""
    barostat = openmm.MonteCarloBarostat(
        stage.pressure_bar * unit.bar, stage.temperature_kelvin * unit.kelvin, _STEPS_BETWEEN_MOVES
    )
    barostat.setRandomNumberSeed(seed)
    return barostat


def check_molecules(context: openmm.Context, topology: app.Topology) -> None:
    """Refuse a System in which OpenMM would not keep the topology's molecules whole when it scales the box.

    OpenMM finds molecules by the bonds of a System's forces; orbmm.forces gives a network's System bonds of zero strength.
    """
    molecule = {atom: number for number, atoms in enumerate(context.getMolecules()) for atom in atoms}
    for one, other in topology.bonds():
        if molecule[one.index] != molecule[other.index]:
            raise RunError(
                f"the System does not say that atoms {one.index} and {other.index} are of one molecule, so a barostat "
                "would scale the bond between them: add a HarmonicBondForce of zero strength between them"
            )


def set_bath(context: openmm.Context, stage: Stage) -> None:
    """Give a barostat the pressure and the temperature of its stage, whatever a checkpoint has brought along."""
    if stage.pressure_bar is not None:
        context.setParameter(openmm.MonteCarloBarostat.Pressure(), stage.pressure_bar)
        context.setParameter(openmm.MonteCarloBarostat.Temperature(), stage.temperature_kelvin)
