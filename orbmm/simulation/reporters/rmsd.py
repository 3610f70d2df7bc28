"""Root mean square deviation (RMSD) of some atoms from their start, after superposition."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from orbmm.geometry import compute_deviation, find_turn


class RmsdMeter:
    """The root mean square deviation of selected atoms from a reference."""

    def __init__(
        self, reference: np.ndarray, atoms: np.ndarray, molecules: Sequence[Sequence[int]] | None = None
    ) -> None:
        """Store the reference: positions (N, 3) [nm] with whole molecules. atoms: (A,) indices

        molecules: atoms of each molecule, whose periodic images are then chosen by `measure`; None takes positions as
        they are.
        """
        self._atoms = atoms
        self._reference = np.asarray(reference, dtype=np.float64)[atoms]
        self._last: NDArray[np.float64] | None = None  # centres of the molecules (M, 3), as measured last
        owner = np.zeros(len(reference), dtype=np.int64)
        for number, members in enumerate(molecules or ()):
            owner[list(members)] = number
        self._owner = np.unique(owner[atoms], return_inverse=True)[1]  # (A,), from 0 on

    def measure(self, positions: np.ndarray, box: np.ndarray | None = None) -> float:
        """Return the deviation [nm] of positions (N, 3) [nm], molecules whole.

        box: (3, 3) rows [nm]; then each molecule is taken in the image that moved least since the last measurement, and
        at first in the one that lies where the reference has it. None: positions are taken as they are.
        """
        chosen = np.asarray(positions, dtype=np.float64)[self._atoms]
        if not np.isfinite(chosen).all():
            return math.nan
        if box is not None and len(chosen):
            chosen = self._choose_images(chosen, np.asarray(box, dtype=np.float64))
        return self._compare(chosen)

    def _compare(self, chosen: NDArray[np.float64]) -> float:
        return float(compute_deviation(chosen[None], self._reference)[0])

    def _choose_images(self, chosen: NDArray[np.float64], box: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the positions (A, 3) with each molecule moved by whole box vectors."""
        if self._last is not None:
            chosen = self._move(chosen, box, self._last)
        else:
            beside = self._move(chosen, box, self._find_centers(self._lay_reference(chosen)))
            chosen = min(chosen, beside, key=self._compare)
        self._last = self._find_centers(chosen)
        return chosen

    def _lay_reference(self, chosen: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the reference (A, 3) superposed on the positions by the atoms of the largest molecule."""
        largest = self._owner == np.bincount(self._owner).argmax()
        turn, start, end = find_turn(self._reference[None, largest], chosen[largest])
        return np.asarray((self._reference - start[0]) @ turn[0] + end)

    def _move(
        self, chosen: NDArray[np.float64], box: NDArray[np.float64], centers: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the positions (A, 3) with each molecule in the image nearest to a centre (M, 3)."""
        images = np.round((self._find_centers(chosen) - centers) @ np.linalg.inv(box)) @ box
        return np.asarray(chosen - images[self._owner])

    def _find_centers(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        counts = np.bincount(self._owner)
        return np.stack([np.bincount(self._owner, positions[:, axis]) / counts for axis in range(3)], axis=1)
