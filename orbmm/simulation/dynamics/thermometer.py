"""Kinetic energy and temperature, with the degrees of freedom of the System."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import openmm
from openmm import unit

from orbmm.units import KJ_PER_MOL_PER_KELVIN


@dataclass(frozen=True)
class Thermometer:
    """Masses (N,) [g/mol] and degrees of freedom. removes_drift: the System keeps its centre of mass at rest"""

    masses: np.ndarray
    degrees_of_freedom: int
    removes_drift: bool

    def kinetic_energy(self, velocities: np.ndarray) -> float:
        """Return the kinetic energy [kJ/mol] of velocities (N, 3) [nm/ps] in the counted degrees of freedom.

        OpenMM stops the centre of mass before each step. Its motion from the bath during the last step is not counted.
        """
        kinetic = 0.5 * np.dot(self.masses, np.einsum("ij,ij->i", velocities, velocities))
        if self.removes_drift:
            momentum = self.masses @ velocities
            kinetic -= 0.5 * np.dot(momentum, momentum) / self.masses.sum()
        return float(kinetic)

    def temperature(self, kinetic_energy: float) -> float:
        """Return the temperature [K] of a kinetic energy [kJ/mol], by equipartition."""
        return 2.0 * kinetic_energy / (self.degrees_of_freedom * KJ_PER_MOL_PER_KELVIN)

    def remove_drift(self, velocities: np.ndarray) -> np.ndarray:
        """Return velocities (N, 3) without motion of the centre of mass, if the System removes it."""
        if not self.removes_drift:
            return velocities
        drift = self.masses @ velocities / self.masses.sum()
        return np.where(self.masses[:, None] > 0.0, velocities - drift, velocities)


def make_thermometer(system: openmm.System) -> Thermometer:
    """Count the degrees of freedom: 3 per particle with mass, less constraints, less 3 if momentum is removed."""
    masses = np.array(
        [system.getParticleMass(index).value_in_unit(unit.dalton) for index in range(system.getNumParticles())]
    )
    removes_drift = any(isinstance(force, openmm.CMMotionRemover) for force in system.getForces())
    degrees = 3 * int(np.count_nonzero(masses)) - system.getNumConstraints() - (3 if removes_drift else 0)
    return Thermometer(masses, max(degrees, 1), removes_drift)
