"""Pairs of atoms closer than a cutoff, nearest periodic images included, by a k-d tree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree


@dataclass(frozen=True)
class Pairs:
    """first, second: (P,) rows of the two lists; vectors: (P, 3) from first to second [nm]; lengths: (P,) [nm]."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    vectors: NDArray[np.float64]
    lengths: NDArray[np.float64]


def find_pairs(
    positions: NDArray[np.float64], others: NDArray[np.float64], box: NDArray[np.float64] | None, cutoff: float
) -> Pairs:
    """Return every pair of one of the positions (A, 3) [nm] and one of the others (B, 3) within the cutoff [nm].

    box: (3, 3) rows [nm], None without periodicity; the cutoff must not exceed its smallest width. Time and memory
    grow with the number of atoms and of pairs found. A place that is in both lists is its own neighbour at distance 0.
    """
    images, origin = others, np.arange(len(others))
    if box is not None:
        positions = wrap(positions, box) @ box
        images, origin = add_images(wrap(others, box), box, cutoff)
    if len(positions) == 0 or len(images) == 0:
        none = np.zeros(0, dtype=np.int64)
        return Pairs(none, none, np.zeros((0, 3)), np.zeros(0))
    found = cKDTree(positions).sparse_distance_matrix(cKDTree(images), cutoff, output_type="ndarray")
    vectors = images[found["j"]] - positions[found["i"]]
    return Pairs(found["i"].astype(np.int64), origin[found["j"]], vectors, found["v"])


def find_widths(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return distances (F, 3) between opposite faces of boxes (F, 3, 3) with vectors as rows."""
    volumes = np.abs(np.linalg.det(boxes))
    faces = np.cross(np.roll(boxes, -1, axis=1), np.roll(boxes, -2, axis=1))
    return np.asarray(volumes[:, None] / np.linalg.norm(faces, axis=2))


def shorten(vectors: NDArray[np.float64], box: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Return vectors (P, 3) to the nearest image; exact for those shorter than half the smallest width of the box."""
    if box is None:
        return vectors
    fractions = vectors @ np.linalg.inv(box)
    return np.asarray((fractions - np.round(fractions)) @ box)


def wrap(positions: NDArray[np.float64], box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the fractions (A, 3) of the box, from 0 to 1, of positions (A, 3) [nm]."""
    fractions = positions @ np.linalg.inv(box)
    return np.asarray(fractions - np.floor(fractions))


def add_images(
    inside: NDArray[np.float64], box: NDArray[np.float64], cutoff: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return positions [nm] from fractions (A, 3), images just outside the box included, and whose images they are."""
    images, origin = inside, np.arange(len(inside))
    for axis, margin in enumerate(cutoff / find_widths(box[None])[0]):
        step = np.eye(3)[axis]
        low, high = images[:, axis] < margin, images[:, axis] > 1.0 - margin
        images = np.concatenate([images, images[low] + step, images[high] - step])
        origin = np.concatenate([origin, origin[low], origin[high]])
    return images @ box, origin
