"""The deviation of several molecules in a periodic box, whatever image each is written in."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from orbmm.geometry import compute_deviation
from orbmm.simulation.reporters.rmsd import RmsdMeter

BOX = np.array([[3.2, 0.0, 0.0], [0.4, 3.0, 0.0], [-0.3, 0.5, 3.4]])
RNG = np.random.default_rng(6)
START = np.concatenate([RNG.normal(size=(12, 3)), 0.6 * RNG.normal(size=(8, 3)) + [1.2, 0.3, 0.1]]) * 0.4
MOLECULES = [list(range(12)), list(range(12, 20))]


def shift(positions: np.ndarray, images: tuple[int, int, int]) -> np.ndarray:
    return np.concatenate([positions[:12], positions[12:] + np.array(images) @ BOX])


@pytest.mark.parametrize("images", [(0, 0, 0), (0, 1, 0), (-1, 2, 0), (1, 1, -3)])
def test_a_molecule_in_another_image_is_as_near_as_it_is(images: tuple[int, int, int]) -> None:
    meter = RmsdMeter(START, np.arange(20), MOLECULES)
    turn = Rotation.random(random_state=2)
    for step in range(5):
        true = turn.apply(START) + 0.02 * RNG.normal(size=START.shape) + 0.3 * step
        expected = float(compute_deviation(true[None], START)[0])
        assert meter.measure(shift(true, images), BOX) == pytest.approx(expected, rel=1e-6)
    if images != (0, 0, 0):
        assert RmsdMeter(START, np.arange(20)).measure(shift(true, images)) > 10.0 * expected  # the control: no box


def test_a_molecule_that_jumps_to_another_image_later_has_not_moved() -> None:
    meter, true = RmsdMeter(START, np.arange(20), MOLECULES), START + 0.02 * RNG.normal(size=START.shape)
    first = meter.measure(true, BOX)
    assert meter.measure(shift(true, (0, 0, 1)), BOX) == pytest.approx(first, rel=1e-6)


def test_positions_that_are_not_finite_have_no_deviation() -> None:
    meter = RmsdMeter(START, np.arange(20), MOLECULES)
    assert math.isnan(meter.measure(np.full_like(START, np.nan), BOX))
    assert meter.measure(START, BOX) < 1e-7
