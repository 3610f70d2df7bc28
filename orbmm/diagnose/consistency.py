"""Conservation: the work of the forces along a line is the loss of energy, and round a closed loop it is zero."""

from __future__ import annotations

import numpy as np

from orbmm.diagnose.field import Field, Place
from orbmm.run_files.diagnosis import Diagnostic

DISPLACEMENT_ANGSTROM = 0.02
"""Root mean square displacement of each coordinate: with loops of 0.05 Å the quadrature is not exact enough."""

LARGEST_DIFFERENCE = 1.0  # [meV/Å]
LARGEST_WORK = 0.2  # [meV] for one atom; it grows with the square root of their number


def measure_lines(field: Field, place: Place, lines: int = 8, points: int = 5, seed: int = 2) -> Diagnostic:
    """Return the difference of the forces from the gradient of the energy, from work and energy along random lines.

    The work is a Gauss-Legendre sum. For a random direction v of unit variance, the variance of (F + dE/dr) v is the
    sum of squares of F + dE/dr. So the root mean square over lines, for one coordinate, is that of F + dE/dr.
    """
    random = np.random.default_rng(seed)
    nodes, weights = np.polynomial.legendre.leggauss(points)
    differences = []
    for _ in range(lines):
        line = DISPLACEMENT_ANGSTROM * random.standard_normal(place.positions.shape)  # (N, 3), end to end
        work = sum(
            0.5 * weight * float(np.vdot(field.evaluate(place.move(0.5 * node * line)).forces, line))
            for node, weight in zip(nodes, weights, strict=True)
        )
        ends = [field.evaluate(place.move(half * line)).energy for half in (0.5, -0.5)]
        differences.append(work + ends[0] - ends[1])  # [eV]
    rms = float(np.sqrt(np.mean(np.square(differences))))
    return Diagnostic(
        "forces and energy along lines",
        1000.0 * rms / (DISPLACEMENT_ANGSTROM * np.sqrt(place.positions.size)),
        "meV/Å",
        LARGEST_DIFFERENCE,
        "small beside force errors; estimates the rms of force + gradient of the energy, 0 for a conservative model",
        {"lines": lines, "displacement_angstrom": DISPLACEMENT_ANGSTROM, "work_less_energy_mev": 1000.0 * rms},
    )


def measure_loops(field: Field, place: Place, loops: int = 4, points: int = 16, seed: int = 3) -> Diagnostic:
    """Return the work of the forces round closed loops, root mean square, for one atom.

    A loop is r (cos(a) u + sin(a) v) with random u and v of unit variance. A sum over equal steps of a periodic
    function is exact but for high harmonics. The work is pi r^2 v (J - J^T) u, which grows with the square root of N.
    """
    random = np.random.default_rng(seed)
    angles = 2.0 * np.pi * np.arange(points) / points
    works = []
    for _ in range(loops):
        one, other = DISPLACEMENT_ANGSTROM * random.standard_normal((2, *place.positions.shape))
        work = 0.0
        for angle in angles:
            forces = field.evaluate(place.move(np.cos(angle) * one + np.sin(angle) * other)).forces
            work += float(np.vdot(forces, np.cos(angle) * other - np.sin(angle) * one))
        works.append(2.0 * np.pi * work / points)  # [eV]
    rms = float(np.sqrt(np.mean(np.square(works))))
    return Diagnostic(
        "work round loops",
        1000.0 * rms / np.sqrt(len(place.positions)),
        "meV/√atom",
        LARGEST_WORK,
        "the forces of an energy do no work round a loop; this limit is 3 meV, a tenth of kT at 300 K, for 256 atoms",
        {
            "loops": loops,
            "points": points,
            "radius_angstrom": DISPLACEMENT_ANGSTROM,
            "work_mev": 1000.0 * rms,
            "largest_mev": 1000.0 * float(np.abs(works).max()),
        },
    )
