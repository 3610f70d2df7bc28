"""Stops a run that has gone wrong, loudly and before anything wrong is written."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from openmm import app

from orbmm.errors import UnstableRun
from orbmm.simulation.dynamics import describe_failure
from orbmm.simulation.moment import Moment


@dataclass(frozen=True)
class Guard:
    """What a healthy run stays below; the topology serves to name atoms."""

    topology: app.Topology
    highest_temperature: float

    def check(self, moment: Moment) -> None:
        """Raise UnstableRun for coordinates or energies that are not finite, and for a box far too hot."""
        complaint = self._find_fault(moment)
        if complaint:
            raise UnstableRun(describe_failure(moment.step, moment.time_ps, complaint))

    def _find_fault(self, moment: Moment) -> str | None:
        broken = np.flatnonzero(~np.isfinite(moment.positions).all(axis=1))
        if broken.size:
            return f"the coordinates of {self._name_atoms(broken)} are not finite"
        if moment.potential_energy is not None and not math.isfinite(moment.potential_energy):
            return f"the potential energy is {moment.potential_energy}"
        if not moment.temperature <= self.highest_temperature:
            return f"the temperature is {moment.temperature:.0f} K, above the limit of {self.highest_temperature:.0f} K"
        return None

    def _name_atoms(self, indices: np.ndarray) -> str:
        if indices.size == self.topology.getNumAtoms():
            return "all atoms"
        first = next(atom for atom in self.topology.atoms() if atom.index == indices[0])
        name = f"atom {first.index} ({first.name} of {first.residue.name} {first.residue.id})"
        return name if indices.size == 1 else f"{name} and {indices.size - 1} more"


def make_guard(topology: app.Topology, temperature_kelvin: float) -> Guard:
    """The limit leaves room for the heat of a poor start and for the fluctuations of a few atoms."""
    return Guard(topology, 3.0 * temperature_kelvin + 300.0)
