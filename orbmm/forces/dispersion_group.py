"""The force group of the dispersion, and its energy apart from that of the other forces."""

from __future__ import annotations

import numpy as np
import openmm

DISPERSION = "Dispersion"
"""The name of the force, as force.getName() returns it."""

LAST_GROUP = 31


def choose_dispersion_group(network_group: int) -> int:
    """Return a group beside that of a single network."""
    return network_group + 1 if network_group < LAST_GROUP else network_group - 1


def find_dispersion(system: openmm.System) -> openmm.Force | None:
    """Return the dispersion in a System, None if it has none."""
    return next((force for force in system.getForces() if force.getName() == DISPERSION), None)


class DispersionMeter:
    """A meter of the energy of the dispersion in a System, in a Context with that force alone.

    With multiple time steps the dispersion shares its group with the correction, so no group has its energy. The
    Context of the run is not used, because reading the energy of an integrator with random numbers draws some.
    """

    def __init__(self, system: openmm.System, dispersion: openmm.Force) -> None:
        alone = openmm.System()
        alone.setDefaultPeriodicBoxVectors(*system.getDefaultPeriodicBoxVectors())
        for _ in range(system.getNumParticles()):
            alone.addParticle(1.0)
        alone.addForce(openmm.XmlSerializer.clone(dispersion))
        # Any platform can measure one energy; this one takes positions in float64 and no memory of a GPU.
        reference = openmm.Platform.getPlatformByName("Reference")
        self._context = openmm.Context(alone, openmm.VerletIntegrator(0.001), reference)

    def measure(self, positions: np.ndarray, box: np.ndarray | None) -> float:
        """Return the energy [kJ/mol] at positions (N, 3) [nm] in a box (3, 3) rows [nm] or None."""
        if box is not None:
            self._context.setPeriodicBoxVectors(*box)
        self._context.setPositions(positions)
        return float(self._context.getState(energy=True).getPotentialEnergy()._value)


def open_meter(system: openmm.System) -> DispersionMeter | None:
    """Return a meter of the dispersion in a System, None if it has none."""
    dispersion = find_dispersion(system)
    return None if dispersion is None else DispersionMeter(system, dispersion)
