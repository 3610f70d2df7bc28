"""Superpose positions on a reference, in double precision.

Source: Kabsch, Acta Cryst. A 32, 922 (1976), by the singular value decomposition of the covariance.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def superpose(positions: NDArray[Any], reference: NDArray[Any]) -> NDArray[np.float64]:
    """Return positions (F, A, 3) superposed on a reference (A, 3) by turns and moves alone: least squares, equal
    weight.
    """
    turn, start, end = find_turn(positions, reference)
    return np.asarray(np.matmul(np.asarray(positions, dtype=np.float64) - start, turn) + end)


def compute_deviation(positions: NDArray[Any], reference: NDArray[Any]) -> NDArray[np.float64]:
    """Return the root-mean-square deviation (F,) of positions (F, A, 3) from a reference (A, 3) superposed on them."""
    shift = superpose(positions, reference)
    shift -= np.asarray(reference, dtype=np.float64)
    return np.asarray(np.sqrt(np.einsum("fai,fai->f", shift, shift) / shift.shape[1]))


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
