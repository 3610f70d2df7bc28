"""Whether all atoms, and those of each element, are as hot as a bath can make them."""

from __future__ import annotations

import numpy as np
from openmm import app
from scipy.special import chdtri

from orbmm.simulation.guard.atom_names import name_atoms
from orbmm.units import KJ_PER_MOL_PER_KELVIN

_CHANCE = 1e-12
"""Of a healthy group above its limit at one look: a few atoms fluctuate widely, and are looked at a million times."""


class HeatWatch:
    """Highest temperatures of all atoms and of each element."""

    def __init__(self, topology: app.Topology, masses: np.ndarray, bath_kelvin: float, limit_kelvin: float) -> None:
        """masses: (N,) [g/mol]; bath_kelvin: what the temperatures fluctuate around."""
        self._topology = topology
        self._masses = masses
        self._limit = limit_kelvin
        symbols = [atom.element.symbol if atom.element is not None else "massless" for atom in topology.atoms()]
        self._symbols, self._group = np.unique(symbols, return_inverse=True)  # (G,), (N,)
        self._degrees = 3.0 * np.maximum(np.bincount(self._group, weights=masses > 0.0), 1.0)  # (G,)
        self._limits = np.maximum(limit_kelvin, bath_kelvin * chdtri(self._degrees, _CHANCE) / self._degrees)  # (G,)

    def find_fault(self, temperature: float, velocities: np.ndarray) -> str | None:
        """A sentence about what is too hot, or None. velocities: (N, 3) [nm/ps]."""
        kinetic = 0.5 * self._masses * np.einsum("ij,ij->i", velocities, velocities)  # (N,)
        if not temperature <= self._limit:
            hottest = name_atoms(self._topology, [int(np.argmax(kinetic))])
            return (
                f"the temperature is {temperature:.0f} K, above the limit of {self._limit:.0f} K; hottest is {hottest}"
            )
        sums = np.bincount(self._group, weights=kinetic, minlength=len(self._symbols))
        temperatures = 2.0 * sums / (self._degrees * KJ_PER_MOL_PER_KELVIN)  # (G,)
        hot = np.flatnonzero(~(temperatures <= self._limits))
        if not hot.size:
            return None
        members = np.flatnonzero(self._group == hot[0])
        hottest = name_atoms(self._topology, [int(members[np.argmax(kinetic[members])])])
        return (
            f"the temperature of the {members.size} {self._symbols[hot[0]]} is {temperatures[hot[0]]:.0f} K, above the "
            f"limit of {self._limits[hot[0]]:.0f} K; hottest is {hottest}"
        )
