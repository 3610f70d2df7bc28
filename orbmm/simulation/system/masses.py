"""Heavier hydrogens: move mass to them from the atoms that they are bonded to."""

from __future__ import annotations

import numpy as np
from openmm import app

from orbmm.errors import RunError
from orbmm.simulation.start.selection import name_atoms


def shift_mass_to_hydrogens(topology: app.Topology, masses: np.ndarray, hydrogen_mass: float) -> np.ndarray:
    """Return masses (N,) [g/mol] with the same sum, in which each hydrogen has the given mass.

    Raises RunError for a hydrogen that has no bond to a heavier atom in the topology.
    """
    shifted = masses.copy()
    light = np.array([atom.element is app.element.hydrogen for atom in topology.atoms()])
    bonded = np.zeros(len(masses), dtype=bool)
    for one, other in topology.bonds():
        for hydrogen, heavy in ((one.index, other.index), (other.index, one.index)):
            if light[hydrogen] and not light[heavy] and not bonded[hydrogen]:
                shifted[heavy] -= hydrogen_mass - masses[hydrogen]
                shifted[hydrogen] = hydrogen_mass
                bonded[hydrogen] = True
    free = np.flatnonzero(light & ~bonded)
    if free.size:
        raise RunError(
            f"{name_atoms(topology, free)} cannot be made heavier: no bond of the structure joins "
            f"{'it' if free.size == 1 else 'them'} to a heavier atom; remove hydrogen_mass_amu"
        )
    return shifted
