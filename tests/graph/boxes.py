"""Structures on which every neighbour search must give the same edges."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def scatter(atoms: int, cell: Array, seed: int) -> Array:
    """Random positions in a cell, no two of them nearer than 0.3 Å: (N, 3) [Å]."""
    random = np.random.default_rng(seed)
    placed: list[Array] = []
    while len(placed) < atoms:
        point = random.random(3) @ cell
        if all(np.linalg.norm(point - other) > 0.3 for other in placed):
            placed.append(point)
    return np.array(placed)


def build_lattice(repeats: int, spacing: float, basis: list[list[float]]) -> tuple[Array, Array]:
    """A perfect cubic crystal: positions and cell."""
    corners = np.stack(np.meshgrid(*[np.arange(repeats)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    return (corners + np.array(basis)).reshape(-1, 3) * spacing, np.eye(3) * spacing * repeats


FCC = [[0.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]]
CELLS: dict[str, tuple[int, list[list[float]]]] = {
    "cubic": (40, [[9, 0, 0], [0, 9, 0], [0, 0, 9]]),
    "large": (60, [[19, 0, 0], [0, 17, 0], [0, 0, 18]]),
    "hexagonal": (30, [[7, 0, 0], [-3.5, 3.5 * math.sqrt(3), 0], [0, 0, 11]]),
    "triclinic": (30, [[8, 0, 0], [3, 7, 0], [-3, 2, 9]]),
    "skewed": (8, [[5, 0, 0], [14, 5, 0], [-12, 9, 6]]),
    "rotated": (20, [[0.3, 7.9, 1.0], [-8.2, 0.4, 0.6], [0.9, -0.2, 8.5]]),
    "slab": (24, [[4, 0, 0], [0, 4.5, 0], [0, 0, 60]]),
    "needle": (12, [[2.2, 0, 0], [0.4, 2.3, 0], [0, 0, 40]]),
    "single atom": (1, [[2.9, 0, 0], [1.4, 2.5, 0], [1.4, 0.8, 2.4]]),
    "rhombic dodecahedron": (50, [[13, 0, 0], [0, 13, 0], [6.5, 6.5, 6.5 * math.sqrt(2)]]),
    "truncated octahedron": (
        50,
        [[13, 0, 0], [13 / 3, 26 * math.sqrt(2) / 3, 0], [-13 / 3, 13 * math.sqrt(2) / 3, 13 * math.sqrt(6) / 3]],
    ),
}


def list_boxes() -> dict[str, tuple[Array, Array | None]]:
    """Name -> positions (N, 3) [Å], cell (3, 3) rows [Å] or None."""
    boxes: dict[str, tuple[Array, Array | None]] = {}
    for seed, (name, (atoms, rows)) in enumerate(CELLS.items()):
        cell = np.array(rows, dtype=np.float64)
        boxes[name] = scatter(atoms, cell, seed), cell
    boxes["molecule"] = scatter(50, np.eye(3) * 12.0, 100), None
    boxes["distant pair"] = np.array([[-400.0, 0.0, 0.0], [500.0, 0.0, 0.0], [501.0, 0.0, 0.0]]), None
    boxes["two-atom crystal"] = build_lattice(1, 2.6, [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]])
    boxes["perfect crystal"] = build_lattice(2, 3.6, FCC)
    boxes["neighbours exactly at the cutoff"] = build_lattice(3, 3.0, [[0.0, 0.0, 0.0]])
    boxes["on faces"] = _put_on_faces()
    positions, cell = boxes["triclinic"]
    boxes["cells away"] = positions + np.random.default_rng(7).integers(-2, 3, positions.shape) @ cell, cell
    boxes["far from the origin"] = positions + np.array([4000, -7000, 900]) @ cell, cell
    return boxes


def _put_on_faces() -> tuple[Array, Array]:
    """Atoms on corners, edges and faces, at 0 as well as at 1, and a rounding error away from them."""
    fractional = [
        [0, 0, 0], [1, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 1], [0.25, 1, 1], [1, 0.25, 0], [0, 0.75, 0.5],
        [1 - 1e-16, 0.3, 0.1], [-1e-17, 0.6, 0.8], [0.4, 1 + 1e-15, 0.3],
    ]  # fmt: skip
    cell = np.array([[7.3, 0, 0], [1.1, 6.9, 0], [-2.3, 0.7, 8.1]])
    return np.array(fractional) @ cell, cell
