"""How closely two predictions agree, and how closely they must."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Predicted(Protocol):
    """What both sides of a comparison have: energy [eV], forces [eV/Å], stress [eV/Å^3] or None, confidence."""

    energy: float
    forces: np.ndarray
    stress: np.ndarray | None
    confidence: np.ndarray


@dataclass(frozen=True)
class Tolerance:
    """The largest differences allowed.

    energy: [eV per atom]; forces, stress: relative to the largest component; confidence: of a probability
    """

    energy: float
    forces: float
    stress: float
    confidence: float


FLOAT64 = Tolerance(energy=1e-9, forces=1e-8, stress=1e-8, confidence=1e-9)

# About 20 matrix products follow one another (encoder 3, each of 5 layers 3, head 2). One of them sums up to 1,024
# rounded terms, an error of sqrt(1024) x 6e-8 = 2e-6; with the same sign every time that is 4e-5 of the result, which
# is of order 1 for energies (running_var) and probabilities. Gradients go through all of them twice.
FLOAT32 = Tolerance(energy=5e-5, forces=1e-4, stress=1e-4, confidence=5e-5)


def measure_differences(one: Predicted, other: Predicted) -> dict[str, float]:
    """The differences of two predictions, in the units of Tolerance; stress only where both have one.

    The energies are compared per atom. A stress on one side alone where both could have one is an infinite difference.
    """
    differences = {
        "energy": abs(one.energy - other.energy) / len(one.forces),
        "forces": _relative_difference(one.forces, other.forces),
        "confidence": float(np.abs(one.confidence - other.confidence).max()),
    }
    if (one.stress is None) != (other.stress is None):
        differences["stress"] = np.inf
    elif one.stress is not None:
        differences["stress"] = _relative_difference(one.stress, other.stress)
    return differences


def list_disagreements(one: Predicted, other: Predicted, tolerance: Tolerance) -> dict[str, float]:
    """The outputs that differ by more than they may, with the difference; empty means agreement. NaN disagrees."""
    return {
        output: difference
        for output, difference in measure_differences(one, other).items()
        if not difference <= getattr(tolerance, output)
    }


def _relative_difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).max() / np.abs(other).max())
