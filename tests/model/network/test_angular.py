"""Spherical harmonics against SciPy's complex ones, and the convention of order, axes and size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import sph_harm_y

from orbmm.model.network.basis import count_harmonics, evaluate_harmonics

HIGHEST_DEGREE = 3


def draw_directions(count: int = 50) -> np.ndarray:
    vectors = np.random.default_rng(5).normal(size=(count, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def evaluate_with_scipy(directions: np.ndarray, degree: int, polar_axis: int = 1) -> np.ndarray:
    """Real harmonics of one degree, order m = -l ... l, squares summing to 2l + 1.

    directions: (E, 3). The polar axis is y and the azimuth runs from z to x; SciPy's Condon-Shortley sign is taken out.
    """
    polar = directions[:, polar_axis]
    azimuth = np.arctan2(directions[:, polar_axis - 1], directions[:, (polar_axis + 1) % 3])
    columns = []
    for order in range(-degree, degree + 1):
        wave = (-1) ** order * sph_harm_y(degree, abs(order), np.arccos(polar), azimuth)
        columns.append(wave.real if order == 0 else np.sqrt(2) * (wave.imag if order < 0 else wave.real))
    return np.sqrt(4 * np.pi) * np.stack(columns, axis=1)


@pytest.mark.parametrize("degree", range(HIGHEST_DEGREE + 1))
def test_harmonics_equal_those_of_scipy(degree: int) -> None:
    directions = draw_directions()
    ours = evaluate_harmonics(torch.from_numpy(directions), HIGHEST_DEGREE).numpy()
    block = ours[:, degree**2 : (degree + 1) ** 2]
    np.testing.assert_allclose(block, evaluate_with_scipy(directions, degree), atol=1e-13)


@pytest.mark.parametrize("polar_axis", [0, 2])
def test_another_polar_axis_would_be_noticed(polar_axis: int) -> None:
    directions = draw_directions()
    ours = evaluate_harmonics(torch.from_numpy(directions), 2).numpy()
    assert np.abs(ours[:, 4:9] - evaluate_with_scipy(directions, 2, polar_axis)).max() > 0.1


@pytest.mark.parametrize("highest", range(HIGHEST_DEGREE + 1))
def test_a_lower_highest_degree_gives_the_first_columns(highest: int) -> None:
    directions = torch.from_numpy(draw_directions())
    columns = count_harmonics(highest)
    assert torch.equal(
        evaluate_harmonics(directions, highest), evaluate_harmonics(directions, HIGHEST_DEGREE)[:, :columns]
    )


def test_the_squares_of_a_degree_sum_to_its_number_of_orders() -> None:
    squares = evaluate_harmonics(torch.from_numpy(draw_directions()), HIGHEST_DEGREE) ** 2
    for degree in range(HIGHEST_DEGREE + 1):
        total = squares[:, degree**2 : (degree + 1) ** 2].sum(dim=1)
        torch.testing.assert_close(total, torch.full_like(total, 2 * degree + 1))
