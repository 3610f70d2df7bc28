"""Kinetic energy and temperature, with the degrees of freedom that the System really has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import openmm
from openmm import unit

from orbmm.units import KJ_PER_MOL_PER_KELVIN


@dataclass(frozen=True)
class Thermometer:
    """Masses (N,) [g/mol] and the number of degrees of freedom."""

    masses: np.ndarray
    degrees_of_freedom: int

    def kinetic_energy(self, velocities: np.ndarray) -> float:
        """Kinetic energy [kJ/mol] of velocities (N, 3) [nm/ps]."""
        return float(0.5 * np.dot(self.masses, np.einsum("ij,ij->i", velocities, velocities)))

    def temperature(self, kinetic_energy: float) -> float:
        """Temperature [K] of a kinetic energy [kJ/mol], by equipartition."""
        return 2.0 * kinetic_energy / (self.degrees_of_freedom * KJ_PER_MOL_PER_KELVIN)

    def remove_drift(self, velocities: np.ndarray) -> np.ndarray:
        """The velocities (N, 3) without the motion of the centre of mass."""
        drift = self.masses @ velocities / self.masses.sum()
        return np.where(self.masses[:, None] > 0.0, velocities - drift, velocities)


def make_thermometer(system: openmm.System) -> Thermometer:
    """Count degrees of freedom: 3 per particle with mass, less constraints, less 3 where momentum is removed."""
    masses = np.array(
        [system.getParticleMass(index).value_in_unit(unit.dalton) for index in range(system.getNumParticles())]
    )
    degrees = 3 * int(np.count_nonzero(masses)) - system.getNumConstraints()
    if removes_drift(system):
        degrees -= 3
    return Thermometer(masses, max(degrees, 1))


def removes_drift(system: openmm.System) -> bool:
    """Whether the System keeps its centre of mass at rest."""
    return any(isinstance(force, openmm.CMMotionRemover) for force in system.getForces())
