"""How far some atoms are from where they started, after the best superposition."""

from __future__ import annotations

import mdtraj
import numpy as np


class RmsdMeter:
    """Root mean square deviation of chosen atoms from a reference."""

    def __init__(self, reference: np.ndarray, atoms: np.ndarray) -> None:
        """reference: positions (N, 3) [nm], molecules whole; atoms: (A,) indices."""
        self._atoms = atoms
        self._reference = self._frame(reference)

    def measure(self, positions: np.ndarray) -> float:
        """Deviation [nm] of positions (N, 3) [nm], not wrapped."""
        return float(mdtraj.rmsd(self._frame(positions), self._reference)[0])

    def _frame(self, positions: np.ndarray) -> mdtraj.Trajectory:
        return mdtraj.Trajectory(positions[None, self._atoms], topology=None)
