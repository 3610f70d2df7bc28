"""Where all atoms are and how they move: what one stage hands to the next."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from openmm import unit

from orbmm.simulation.start import Start


@dataclass(frozen=True)
class PhasePoint:
    """positions: (N, 3) [nm], not wrapped; box: (3, 3) rows [nm] or None

    velocities: (N, 3) [nm/ps] of atoms with these masses (N,) [g/mol]; None where they mean nothing, as after relaxing
    time_ps: since the start of the phase
    """

    positions: np.ndarray
    velocities: np.ndarray | None
    masses: np.ndarray
    box: np.ndarray | None
    time_ps: float = 0.0

    def restarted(self) -> PhasePoint:
        """The same at time 0, where a phase begins."""
        return dataclasses.replace(self, time_ps=0.0)

    def velocities_of(self, masses: np.ndarray) -> np.ndarray | None:
        """The velocities (N, 3) at which atoms of these masses (N,) are as hot as these are."""
        if self.velocities is None or np.array_equal(masses, self.masses):
            return self.velocities
        movable = masses > 0.0
        scale = np.sqrt(np.divide(self.masses, masses, out=np.zeros_like(masses), where=movable))
        return self.velocities * scale[:, None]


def start_point(start: Start, masses: np.ndarray) -> PhasePoint:
    """The start of a run, with the masses (N,) [g/mol] that its velocities are meant for."""
    vectors = start.topology.getPeriodicBoxVectors()
    box = None if vectors is None else np.array(vectors.value_in_unit(unit.nanometer))
    return PhasePoint(start.positions, start.velocities, masses, box)
