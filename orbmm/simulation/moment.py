"""What is known of a run at one step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orbmm.forces.atom_confidence import AtomConfidence


@dataclass(frozen=True)
class Moment:
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
