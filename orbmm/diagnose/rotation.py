"""Invariance: the energy of a rotated structure must be the same, and its forces must be the rotated forces."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from orbmm.diagnose.field import Field, Place
from orbmm.run_files.diagnosis import Diagnostic

LARGEST_GRADIENT = 0.1  # [meV/atom]
LARGEST_SPREAD = 0.05  # [meV/atom]
LARGEST_FORCE_ERROR = 1.0  # [%] of the root mean square force


def draw_rotations(count: int, seed: int) -> np.ndarray:
    """Return uniformly distributed random rotations, (R, 3, 3)."""
    return Rotation.random(count, random_state=seed).as_matrix()


def measure_rotational_gradient(field: Field, place: Place, orientations: int = 24, seed: int = 0) -> Diagnostic:
    """Return the norm of the gradient of the energy by a rotation, per atom, averaged over orientations.

    Source: arXiv 2504.06231, equation 1.
    """
    atoms = len(place.positions)
    norms = [_find_norm(field, place.rotate(turn)) for turn in draw_rotations(orientations, seed)]
    per_atom = 1000.0 * np.array(norms) / atoms
    return Diagnostic(
        "rotational gradient",
        float(per_atom.mean()),
        "meV/atom",
        LARGEST_GRADIENT,
        "about twice that of the embedded conservative network; an invariant energy has 0",
        {
            "orientations": orientations,
            "standard_error_mev_per_atom": float(per_atom.std(ddof=1) / np.sqrt(orientations)),
            "least_mev_per_atom": float(per_atom.min()),
            "largest_mev_per_atom": float(per_atom.max()),
        },
    )


def _find_norm(field: Field, place: Place) -> float:
    """Return the norm [eV], from the field itself or by central differences of the energy about three axes."""
    found = field.find_rotational_gradient(place)
    if found is not None:
        return float(np.linalg.norm(found))
    angle = 1e-2 if field.rounding > 1e-10 else 1e-3  # [radian]; the energy of many atoms is rounded coarsely
    slopes = []
    for axis in np.eye(3):
        turns = [Rotation.from_rotvec(sign * angle * axis).as_matrix() for sign in (1.0, -1.0)]
        forward, backward = (field.evaluate(place.rotate(turn)).energy for turn in turns)
        slopes.append((forward - backward) / (2.0 * angle))
    return float(np.sqrt(2.0) * np.linalg.norm(slopes))  # each slope is in the matrix twice


def measure_rotations(field: Field, place: Place, rotations: int = 24, seed: int = 1) -> tuple[Diagnostic, Diagnostic]:
    """Return the spread of the energy over random rotations, and the error of the forces after they are turned back.

    The error is the root mean square difference from their mean over all rotations.
    """
    turns = draw_rotations(rotations, seed)
    found = [field.evaluate(place.rotate(turn)) for turn in turns]
    energies = np.array([each.energy for each in found])
    turned = np.array([each.forces @ turn.T for each, turn in zip(found, turns, strict=True)])  # (R, N, 3)
    mean = turned.mean(axis=0)
    errors = np.sqrt(((turned - mean) ** 2).mean(axis=(1, 2)))  # (R,)
    error, size = float(np.sqrt((errors**2).mean())), float(np.sqrt((mean**2).mean()))
    atoms = len(place.positions)
    return (
        Diagnostic(
            "energy over rotations",
            1000.0 * float(energies.std(ddof=1)) / atoms,
            "meV/atom",
            LARGEST_SPREAD,
            "three times that of the embedded conservative network; standard deviation",
            {"rotations": rotations, "standard_deviation_mev": 1000.0 * float(energies.std(ddof=1))},
        ),
        Diagnostic(
            "forces over rotations",
            100.0 * error / size if size > 0.0 else float("nan"),
            "% of the force",
            LARGEST_FORCE_ERROR,
            "below a tenth of the force errors of a good network, so that it does not matter beside them",
            {
                "error_mev_per_angstrom": 1000.0 * error,
                "least_mev_per_angstrom": 1000.0 * float(errors.min()),
                "largest_mev_per_angstrom": 1000.0 * float(errors.max()),
                "force_mev_per_angstrom": 1000.0 * size,
            },
        ),
    )
