"""Kinetic energy and temperature, of all atoms and of each element, with their degrees of freedom."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import openmm
from openmm import app, unit

from orbmm.units import KJ_PER_MOL_PER_KELVIN

MASSLESS = "massless"
"""The symbol that particles without an element share."""


@dataclass(frozen=True)
class Elements:
    """The elements of a topology: symbols (G,) in alphabetical order, and for each atom (N,) the index of its own."""

    symbols: tuple[str, ...] = ()
    index: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.intp))


def find_elements(topology: app.Topology) -> Elements:
    """Return the elements of a topology. Particles without an element share the symbol MASSLESS."""
    symbols = [atom.element.symbol if atom.element is not None else MASSLESS for atom in topology.atoms()]
    unique, index = np.unique(symbols, return_inverse=True)
    return Elements(tuple(unique.tolist()), index)


@dataclass(frozen=True)
class Thermometer:
    """Masses (N,) [g/mol] and degrees of freedom. removes_drift: the System keeps its centre of mass at rest"""

    masses: np.ndarray
    degrees_of_freedom: int
    removes_drift: bool
    elements: Elements = field(default_factory=Elements)

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

    @cached_property
    def element_degrees(self) -> np.ndarray:
        """Return the degrees of freedom (G,) of each element.

        A centre of mass at rest takes three from all atoms, from each element in proportion to its mass.
        """
        groups, index = len(self.elements.symbols), self.elements.index
        degrees = 3.0 * np.bincount(index, weights=self.masses > 0.0, minlength=groups)
        if self.removes_drift:
            degrees -= 3.0 * np.bincount(index, weights=self.masses, minlength=groups) / self.masses.sum()
        return degrees

    def element_temperatures(self, velocities: np.ndarray) -> np.ndarray:
        """Return the temperature (G,) [K] of the atoms of each element at velocities (N, 3) [nm/ps]; 0 if none moves.

        Motion of the centre of mass is not counted, as in the kinetic energy.
        """
        moving, degrees = self.remove_drift(velocities), self.element_degrees
        kinetic = 0.5 * self.masses * np.einsum("ij,ij->i", moving, moving)  # (N,)
        sums = np.bincount(self.elements.index, weights=kinetic, minlength=len(degrees))
        free = degrees > 1e-9
        return np.divide(2.0 * sums, degrees * KJ_PER_MOL_PER_KELVIN, out=np.zeros_like(sums), where=free)

    def name_temperatures(self, velocities: np.ndarray) -> dict[str, float]:
        """Return element_temperatures by the symbols of the elements; nothing if these are not known."""
        if not self.elements.symbols:
            return {}
        return dict(zip(self.elements.symbols, self.element_temperatures(velocities).tolist(), strict=True))

    def remove_drift(self, velocities: np.ndarray) -> np.ndarray:
        """Return velocities (N, 3) without motion of the centre of mass, if the System removes it."""
        if not self.removes_drift:
            return velocities
        drift = self.masses @ velocities / self.masses.sum()
        return np.where(self.masses[:, None] > 0.0, velocities - drift, velocities)


def make_thermometer(system: openmm.System, topology: app.Topology | None = None) -> Thermometer:
    """Count the degrees of freedom: 3 per particle with mass, less constraints, less 3 if momentum is removed.

    topology: names the element of each atom; without it no temperature of an element can be had
    """
    masses = np.array(
        [system.getParticleMass(index).value_in_unit(unit.dalton) for index in range(system.getNumParticles())]
    )
    removes_drift = any(isinstance(force, openmm.CMMotionRemover) for force in system.getForces())
    degrees = 3 * int(np.count_nonzero(masses)) - system.getNumConstraints() - (3 if removes_drift else 0)
    elements = Elements() if topology is None else find_elements(topology)
    return Thermometer(masses, max(degrees, 1), removes_drift, elements)
