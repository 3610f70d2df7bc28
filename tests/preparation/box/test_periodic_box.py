"""Boxes keep images of the solute apart, however it turns, and are no larger than that needs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from orbmm.preparation.box.solvent import compute_box, find_enclosing_radius

SHAPES = {"cube": 1.0, "dodecahedron": np.sqrt(0.5), "octahedron": 4 * np.sqrt(3) / 9}  # volume over width cubed


@pytest.fixture(scope="module")
def solute() -> np.ndarray:
    return np.random.default_rng(5).normal(size=(400, 3)) * [0.5, 0.8, 1.2]


@pytest.mark.parametrize("shape", SHAPES)
def test_images_keep_the_padding_whatever_the_orientation(shape: str, solute: np.ndarray) -> None:
    box = compute_box(solute, 0.9, shape)
    images = [shift @ box for shift in itertools.product((-1, 0, 1), repeat=3) if any(shift)]
    nearest = min(np.linalg.norm(image) for image in images)
    assert nearest - 2 * find_enclosing_radius(solute) == pytest.approx(0.9)


@pytest.mark.parametrize(("shape", "volume"), SHAPES.items(), ids=SHAPES)
def test_each_shape_has_its_volume(shape: str, volume: float, solute: np.ndarray) -> None:
    box = compute_box(solute, 0.9, shape)
    assert np.linalg.det(box) == pytest.approx(volume * np.linalg.norm(box[0]) ** 3)


@pytest.mark.parametrize("shape", SHAPES)
def test_boxes_are_in_the_reduced_form_that_openmm_takes(shape: str, solute: np.ndarray) -> None:
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = compute_box(solute, 0.9, shape)
    assert ay == az == bz == 0 and ax > 0 and by > 0 and cz > 0
    assert ax >= 2 * abs(bx) - 1e-12 and ax >= 2 * abs(cx) - 1e-12 and by >= 2 * abs(cy) - 1e-12


def test_the_enclosing_ball_holds_all_points_and_is_nearly_the_smallest() -> None:
    corners = np.array(list(itertools.product((0.0, 1.0), repeat=3)))
    inside = np.random.default_rng(1).uniform(size=(100, 3))
    radius = find_enclosing_radius(np.concatenate([corners, inside]))
    assert np.sqrt(0.75) <= radius < 1.005 * np.sqrt(0.75)


def test_without_a_solute_the_box_is_twice_the_padding() -> None:
    assert compute_box(np.zeros((0, 3)), 0.7, "cube") == pytest.approx(1.4 * np.eye(3))
