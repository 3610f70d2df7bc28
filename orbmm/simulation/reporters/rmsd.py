"""Root mean square deviation (RMSD) of some atoms from their start, after superposition."""

from __future__ import annotations

import mdtraj
import numpy as np


class RmsdMeter:
    """The root mean square deviation of selected atoms from a reference."""

    def __init__(self, reference: np.ndarray, atoms: np.ndarray) -> None:
        """Store the reference: positions (N, 3) [nm] with whole molecules. atoms: (A,) indices"""
        self._atoms = atoms
        self._reference = self._frame(reference)

    def measure(self, positions: np.ndarray) -> float:
        """Return the deviation [nm] of positions (N, 3) [nm], not wrapped."""
        return float(mdtraj.rmsd(self._frame(positions), self._reference)[0])

    def _frame(self, positions: np.ndarray) -> mdtraj.Trajectory:
        return mdtraj.Trajectory(positions[None, self._atoms], topology=None)
