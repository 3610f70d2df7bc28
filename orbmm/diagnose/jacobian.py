"""Asymmetry of the Jacobian of the forces: it is symmetric if and only if they are the gradient of an energy."""

from __future__ import annotations

import numpy as np

from orbmm.diagnose.field import Field, Place
from orbmm.run_files.diagnosis import Diagnostic

LARGEST_ASYMMETRY = 1e-3
PAIRED_DIRECTIONS = 16
"""Directions without autograd: the error is then about 10 %."""


def measure_asymmetry(field: Field, place: Place, probes: int = 2, seed: int = 4) -> Diagnostic:
    """Return lambda = |J - J^T| / (2 |J|), Frobenius norms, of the Jacobian J = dF/dr.

    With autograd from J v and J^T v of random vectors v of entries +1 and -1. Without it from u (J - J^T) v of all
    pairs of 16 such vectors. Source: arXiv 2412.11569.
    """
    random = np.random.default_rng(seed)
    vectors = [random.choice((-1.0, 1.0), size=place.positions.shape) for _ in range(max(probes, PAIRED_DIRECTIONS))]
    by_autograd = [field.find_transposed_product(place, vector) for vector in vectors[:probes]]
    transposed = [found for found in by_autograd if found is not None]
    if len(transposed) == probes:
        products = [_differentiate(field, place, vector) for vector in vectors[:probes]]
        anti = [0.25 * ((one - other) ** 2).sum() for one, other in zip(products, transposed, strict=True)]
    else:
        products = [_differentiate(field, place, vector) for vector in vectors]
        anti = [
            0.25 * float(np.vdot(vectors[i], products[j]) - np.vdot(vectors[j], products[i])) ** 2
            for i in range(len(vectors))
            for j in range(i)
        ]
    norm = float(np.mean([(product**2).sum() for product in products]))
    return Diagnostic(
        "Jacobian asymmetry lambda",
        float(np.sqrt(np.mean(anti) / norm)) if norm > 0.0 else float("nan"),
        "",
        LARGEST_ASYMMETRY,
        "0 for the gradient of an energy; published for direct forces: 0.015 (Orb v2), 0.004 (PET)",
        {
            "method": "autograd" if len(transposed) == probes else "pairs of finite differences",
            "probes": len(products),
            "step_angstrom": _choose_step(field),
        },
    )


def _differentiate(field: Field, place: Place, vector: np.ndarray) -> np.ndarray:
    """Return J v (N, 3) by central differences of the forces."""
    step = _choose_step(field)
    forward, backward = (field.evaluate(place.move(sign * step * vector)).forces for sign in (1.0, -1.0))
    return (forward - backward) / (2.0 * step)


def _choose_step(field: Field) -> float:
    """Return a step [Å] at which its own error and that of rounding are small: 1e-3 in float32, 1e-6 in float64."""
    return 0.2 * field.rounding ** (1.0 / 3.0)
