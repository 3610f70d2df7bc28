"""The frame that guard and reporters receive, and the state that one stage passes to the next."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from openmm import unit

from orbmm.forces.confidence import AtomConfidence
from orbmm.simulation.start.structure import Structure


@dataclass(frozen=True)
class Frame:
    """One step for guard and reporters.

    positions: (N, 3) [nm], not wrapped; box: (3, 3) rows [nm] or None
    velocities: (N, 3) [nm/ps]
    kinetic_energy: [kJ/mol]; temperature: [K]; element_temperatures: of each element, by its symbol [K]
    forces: (N, 3) [kJ/mol/nm], only together with the potential energy
    potential_energy: None if not requested, because it costs an evaluation of the network [kJ/mol]
    dispersion_energy: [kJ/mol], the part of the potential energy that is an added dispersion; None without one
    rotational_gradient: norm [kJ/mol], only together with the potential energy of a conservative network
    confidence: None if not requested, because it costs an evaluation without forces
    speed: over the last steps [ns/day], 0 at the start
    """

    step: int
    time_ps: float
    positions: np.ndarray
    velocities: np.ndarray
    box: np.ndarray | None
    kinetic_energy: float
    temperature: float
    potential_energy: float | None = None
    forces: np.ndarray | None = None
    confidence: AtomConfidence | None = None
    speed: float = 0.0
    element_temperatures: Mapping[str, float] = field(default_factory=dict)
    dispersion_energy: float | None = None
    rotational_gradient: float | None = None


@dataclass(frozen=True)
class State:
    """The state that one stage passes to the next.

    positions: (N, 3) [nm], not wrapped; box: (3, 3) rows [nm] or None
    velocities: (N, 3) [nm/ps], None after a minimisation; masses: (N,) [g/mol] that the velocities belong to
    time_ps: since the start of the phase
    """

    positions: np.ndarray
    velocities: np.ndarray | None
    masses: np.ndarray
    box: np.ndarray | None
    time_ps: float = 0.0

    def restarted(self) -> State:
        """Return the same state at time 0, for the start of a phase."""
        return dataclasses.replace(self, time_ps=0.0)

    def velocities_of(self, masses: np.ndarray) -> np.ndarray | None:
        """Return velocities (N, 3) for other masses (N,) that give the same kinetic energy to each atom."""
        if self.velocities is None or np.array_equal(masses, self.masses):
            return self.velocities
        movable = masses > 0.0
        scale = np.sqrt(np.divide(self.masses, masses, out=np.zeros_like(masses), where=movable))
        return self.velocities * scale[:, None]


def start_state(start: Structure, masses: np.ndarray) -> State:
    """Return the state at the start of a run. masses: (N,) [g/mol] that its velocities belong to"""
    vectors = start.topology.getPeriodicBoxVectors()
    box = None if vectors is None else np.array(vectors.value_in_unit(unit.nanometer))
    return State(start.positions, start.velocities, masses, box)
