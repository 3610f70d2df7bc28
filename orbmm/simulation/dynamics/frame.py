"""The state of all atoms: the frame that guard and reporters see, and the state that one stage hands to the next."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from openmm import unit

from orbmm.forces.atom_confidence import AtomConfidence
from orbmm.simulation.start.structure import Structure


@dataclass(frozen=True)
class Frame:
    """One step as guard and reporters see it.

    positions: (N, 3) [nm], not wrapped; box: (3, 3) rows [nm] or None
    velocities: (N, 3) [nm/ps]
    forces: (N, 3) [kJ/mol/nm], with the potential energy or not at all
    potential_energy: None where it was not asked for, since it costs an evaluation of the network [kJ/mol]
    confidence: None where it was not asked for, since it costs an evaluation without forces
    speed: over the last stretch [ns/day], 0 at the start
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


@dataclass(frozen=True)
class State:
    """positions: (N, 3) [nm], not wrapped; box: (3, 3) rows [nm] or None

    velocities: (N, 3) [nm/ps] of atoms with these masses (N,) [g/mol]; None where they mean nothing, as after relaxing
    time_ps: since the start of the phase
    """

    positions: np.ndarray
    velocities: np.ndarray | None
    masses: np.ndarray
    box: np.ndarray | None
    time_ps: float = 0.0

    def restarted(self) -> State:
        """The same at time 0, where a phase begins."""
        return dataclasses.replace(self, time_ps=0.0)

    def velocities_of(self, masses: np.ndarray) -> np.ndarray | None:
        """The velocities (N, 3) at which atoms of these masses (N,) are as hot as these are."""
        if self.velocities is None or np.array_equal(masses, self.masses):
            return self.velocities
        movable = masses > 0.0
        scale = np.sqrt(np.divide(self.masses, masses, out=np.zeros_like(masses), where=movable))
        return self.velocities * scale[:, None]


def start_state(start: Structure, masses: np.ndarray) -> State:
    """The start of a run, with the masses (N,) [g/mol] that its velocities are meant for."""
    vectors = start.topology.getPeriodicBoxVectors()
    box = None if vectors is None else np.array(vectors.value_in_unit(unit.nanometer))
    return State(start.positions, start.velocities, masses, box)
