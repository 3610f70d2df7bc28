"""Superposition against NumPy's singular values and SciPy's rotations, in double precision."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from orbmm.geometry import compute_deviation, superpose

RNG = np.random.default_rng(8)


def measure_by_singular_values(moved: NDArray, reference: NDArray) -> float:
    """Return the RMSD without a rotation: from the sum of squares and the singular values (Kabsch 1978)."""
    one, other = moved - moved.mean(axis=0), reference - reference.mean(axis=0)
    covariance = one.T @ other
    values = np.linalg.svd(covariance, compute_uv=False)
    values[2] *= np.sign(np.linalg.det(covariance))
    return float(np.sqrt(((one**2).sum() + (other**2).sum() - 2.0 * values.sum()) / len(one)))


@pytest.mark.parametrize(
    "shape", [(1.0, 1.0, 1.0), (200.0, 0.5, 0.5), (50.0, 50.0, 0.0)], ids=["ball", "fibre", "sheet"]
)
def test_the_deviation_is_that_of_other_ways(shape: tuple[float, float, float]) -> None:
    reference = RNG.normal(size=(60, 3)) * shape
    turns = Rotation.random(8, random_state=3)
    moved = np.array([turn.apply(reference + 0.03 * RNG.normal(size=(60, 3))) + RNG.normal(size=3) for turn in turns])
    found = compute_deviation(moved, reference)
    np.testing.assert_allclose(found, [measure_by_singular_values(each, reference) for each in moved], rtol=1e-6)
    for each, turned in zip(moved, superpose(moved, reference), strict=True):
        rotation, _ = Rotation.align_vectors(reference - reference.mean(axis=0), each - each.mean(axis=0))
        expected = rotation.apply(each - each.mean(axis=0)) + reference.mean(axis=0)
        np.testing.assert_allclose(turned, expected, atol=1e-8 * max(shape))
        straight = np.sqrt(((expected - reference) ** 2).sum(axis=1).mean())
        assert compute_deviation(each[None], reference)[0] == pytest.approx(straight, rel=1e-6)


def test_a_mirror_image_is_not_superposed() -> None:
    reference = RNG.normal(size=(20, 3))
    assert compute_deviation((reference * [1.0, 1.0, -1.0])[None], reference)[0] > 0.3
    assert compute_deviation(reference[None], reference)[0] < 1e-7


@pytest.mark.parametrize("atoms", [1, 2, 3])
def test_few_atoms_are_superposed_as_well(atoms: int) -> None:
    reference = RNG.normal(size=(atoms, 3))
    moved = Rotation.random(random_state=1).apply(reference) + 5.0
    assert compute_deviation(moved[None], reference)[0] < 1e-7
