"""The nearest image is the shortest of all images of a vector."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from orbmm.geometry import take_nearest

BOXES = {
    "cube": 2.0 * np.eye(3),
    "triclinic": np.array([[2.0, 0.0, 0.0], [0.6, 1.9, 0.0], [-0.5, 0.7, 1.8]]),
}


def list_lengths(vectors: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The least length over 125 images of each vector (P, 3), counted one by one."""
    images = np.array([np.array(counts) @ box for counts in product(range(-2, 3), repeat=3)])
    return np.linalg.norm(vectors[:, None] + images, axis=2).min(axis=1)


@pytest.mark.parametrize("name", BOXES)
def test_the_nearest_image_is_the_shortest(name: str) -> None:
    box, rng = BOXES[name], np.random.default_rng(1)
    near = rng.uniform(-0.4, 0.4, (200, 3))  # shorter than half the smallest width
    far = near + rng.integers(-1, 2, (200, 3)) @ box
    assert np.abs(np.linalg.norm(take_nearest(far, box), axis=1) - list_lengths(far, box)).max() < 1e-12
    assert take_nearest(far[0], box) == pytest.approx(near[0], abs=1e-12)


def test_columns_in_place_of_rows_would_be_noticed() -> None:
    box = BOXES["triclinic"]
    far = np.array([[0.3, 0.1, -0.2]]) + np.array([[0, 1, -1]]) @ box
    assert abs(np.linalg.norm(take_nearest(far, box.T)) - list_lengths(far, box)[0]) > 0.1
