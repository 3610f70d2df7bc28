"""The smallest box of a shape that keeps images of a solute a given distance apart."""

from __future__ import annotations

import numpy as np

# Rows are the box vectors for width 1; the width is the least distance between two images of a point.
_UNIT_BOXES = {
    "cube": np.eye(3),
    "dodecahedron": np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.5, 0.5, np.sqrt(0.5)]]),
    "octahedron": np.array(
        [[1.0, 0.0, 0.0], [1 / 3, 2 * np.sqrt(2) / 3, 0.0], [-1 / 3, np.sqrt(2) / 3, np.sqrt(6) / 3]]
    ),
}
_BALL_STEPS = 2000


def compute_box(positions_nm: np.ndarray, padding_nm: float, shape: str) -> np.ndarray:
    """Box vectors as rows (3, 3) [nm] that keep images of the solute the padding apart, however it turns.

    positions_nm: (N, 3); without atoms the box is twice the padding wide
    shape: cube, dodecahedron (rhombic) or octahedron (truncated)
    """
    diameter = 2.0 * find_enclosing_radius(positions_nm)
    return max(diameter + padding_nm, 2.0 * padding_nm) * _UNIT_BOXES[shape]


def find_enclosing_radius(positions_nm: np.ndarray) -> float:
    """Radius of nearly the smallest ball around all points (N, 3), never smaller than it [nm].

    A ball around the middle of the extent would be up to 5 % larger and hang on single side chains.
    Source: Badoiu and Clarkson, Smaller core-sets for balls (2003): step towards the farthest point, ever less.
    """
    if len(positions_nm) == 0:
        return 0.0
    center = positions_nm.mean(axis=0)
    for step in range(1, _BALL_STEPS):
        farthest = positions_nm[np.linalg.norm(positions_nm - center, axis=1).argmax()]
        center = center + (farthest - center) / (step + 1)
    return float(np.linalg.norm(positions_nm - center, axis=1).max())
