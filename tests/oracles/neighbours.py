"""All edges of a periodic structure by looking at every pair through every image, in float64 NumPy.

Written without a look at orbmm.graph: images are bounded through the smallest singular value of the cell, nothing is
wrapped, and each distance is taken between the coordinates as they are given.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

TIE = 1e-6  # distances that agree when rounded to this are equal [Å]

Edge = tuple[int, int, int, int, int]  # sender, receiver, shift


def list_edges(
    positions: NDArray[np.float64], cell: NDArray[np.float64] | None, cutoff: float, max_neighbors: int | None = None
) -> list[Edge]:
    """Edges sorted by (sender, distance, receiver, shift); positions (N, 3) [Å], cell (3, 3) rows [Å] or None."""
    found: list[list[tuple[int, int, tuple[int, ...]]]] = [[] for _ in positions]
    separations = positions[None, :, :] - positions[:, None, :]  # (N, N, 3), from sender to receiver
    for shift in _list_shifts(separations, cell, cutoff):
        moved = separations if cell is None else separations + np.array(shift) @ cell
        distances = np.sqrt((moved**2).sum(axis=2))  # (N, N)
        for sender, receiver in np.argwhere(distances < cutoff - TIE / 2):
            if sender != receiver or any(shift):
                step = round(distances[sender, receiver] / TIE)
                found[sender].append((step, int(receiver), shift))
    return [
        (sender, receiver, *shift)
        for sender, edges in enumerate(found)
        for _, receiver, shift in sorted(edges)[:max_neighbors]
    ]


def _list_shifts(
    separations: NDArray[np.float64], cell: NDArray[np.float64] | None, cutoff: float
) -> list[tuple[int, ...]]:
    """Every shift that brings two atoms within the cutoff: |shift| <= (cutoff + separation) / least singular value."""
    if cell is None:
        return [(0, 0, 0)]
    longest = np.sqrt((separations**2).sum(axis=2)).max()
    reach = math.ceil((cutoff + longest) / np.linalg.svd(cell, compute_uv=False).min())
    shifts = np.array(list(itertools.product(range(-reach, reach + 1), repeat=3)))
    near = np.linalg.norm(shifts @ cell, axis=1) <= cutoff + longest
    return [tuple(shift) for shift in shifts[near].tolist()]
