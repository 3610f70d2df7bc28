"""Geometry that several rooms share: nearest images in a box, and superposition; in any unit of length."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def take_nearest(vectors: NDArray[Any], box: NDArray[Any]) -> NDArray[np.float64]:
    """Return vectors (..., 3) between nearest images. box: (3, 3), rows are vectors, in the unit of the vectors

    Exact for vectors shorter than half the smallest width of the box.
    """
    return np.asarray(vectors - np.round(vectors @ np.linalg.inv(box)) @ box)


_FRAMES_AT_ONCE = 64  # which stay in a processor's cache


def superpose(positions: NDArray[Any], reference: NDArray[Any]) -> NDArray[np.float64]:
    """Return positions (F, A, 3) superposed on a reference (A, 3) by turns and moves alone: least squares, equal
    weight.
    """
    turn, start, end = find_turn(positions, reference)
    return np.asarray(np.matmul(np.asarray(positions, dtype=np.float64) - start, turn) + end)


def compute_deviation(positions: NDArray[Any], reference: NDArray[Any]) -> NDArray[np.float64]:
    """Return the root-mean-square deviation (F,) of positions (F, A, 3) from a reference (A, 3) superposed on them.

    From the singular values of the covariance (Kabsch, Acta Cryst. A 34, 827 (1978)), without turning any position.
    """
    blocks = range(0, len(positions), _FRAMES_AT_ONCE)
    target = np.asarray(reference, dtype=np.float64) - np.mean(reference, axis=0, dtype=np.float64)
    parts = [_compare(positions[first : first + _FRAMES_AT_ONCE], target) for first in blocks]
    return np.concatenate(parts) if parts else np.zeros(0)


def _compare(positions: NDArray[Any], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the deviation (F,) from a reference (A, 3) about its centre."""
    frames, atoms = positions.shape[:2]
    moved = np.subtract(positions, positions[:, :1], dtype=np.float64).reshape(frames, 3 * atoms)
    weights = np.zeros((atoms, 3, 3, 3))
    weights[:, [0, 1, 2], [0, 1, 2]] = target[:, None]
    covariance = (moved @ weights.reshape(3 * atoms, 9)).reshape(frames, 3, 3)
    center = moved.reshape(frames, atoms, 3).sum(axis=1) / atoms
    square = np.einsum("fi,fi->f", moved, moved) - atoms * (center**2).sum(axis=1)
    values = np.linalg.svd(covariance, compute_uv=False)
    values[:, 2] *= np.where(np.linalg.det(covariance) < 0.0, -1.0, 1.0)  # a mirror is no turn
    return np.sqrt(np.maximum(square + (target**2).sum() - 2.0 * values.sum(axis=1), 0.0) / atoms)


def find_turn(
    positions: NDArray[Any], reference: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return what lays positions (F, A, 3) onto a reference (A, 3): (positions - start) @ turn + end.

    turn: (F, 3, 3); start: (F, 1, 3), the centres; end: (3,), the centre of the reference.
    """
    moved, target = np.asarray(positions, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    start, end = moved.mean(axis=1, keepdims=True), target.mean(axis=0)
    left, _, right = np.linalg.svd(np.matmul((moved - start).transpose(0, 2, 1), target - end))  # (F, 3, 3) each
    left[:, :, 2] *= np.sign(np.linalg.det(left) * np.linalg.det(right))[:, None]  # a mirror is no turn
    return np.matmul(left, right), start, end
