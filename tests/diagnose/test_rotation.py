"""Dependence on orientation has its closed forms, and an energy that depends on orientation on purpose fails."""

from __future__ import annotations

import numpy as np
import pytest
from diagnose.fields import Dipole, Springs, scatter_atoms

from orbmm.diagnose.rotation import draw_rotations, measure_rotational_gradient, measure_rotations


def test_springs_are_invariant() -> None:
    place = scatter_atoms()
    found = (measure_rotational_gradient(Springs(), place), *measure_rotations(Springs(), place))
    assert [each.passed for each in found] == [True, True, True]
    assert max(each.value for each in found) < 1e-6


def test_the_gradient_of_a_dipole_is_its_torque() -> None:
    """The energy -p E changes by E x p in a rotation, and the matrix holds each component twice."""
    place, strength = scatter_atoms(), 0.3
    charges = np.random.default_rng(1).normal(size=12)
    dipole = charges @ place.positions
    torques = [np.cross(dipole @ turn, [0.0, 0.0, strength]) for turn in draw_rotations(8, seed=0)]
    right = 1000.0 * np.sqrt(2.0) * np.mean(np.linalg.norm(torques, axis=1)) / 12
    found = measure_rotational_gradient(Dipole(charges, strength), place, orientations=8, seed=0)
    assert found.value == pytest.approx(right, rel=1e-5)
    assert not found.passed


def test_the_spread_of_a_dipoles_energy_is_that_of_a_cosine() -> None:
    """A cosine is uniform in -1 to 1 over rotations: its standard deviation is 1 / sqrt(3)."""
    place, charges = scatter_atoms(), np.random.default_rng(1).normal(size=12)
    energy, forces = measure_rotations(Dipole(charges, 0.3), place, rotations=2000)
    right = 1000.0 * 0.3 * np.linalg.norm(charges @ place.positions) / np.sqrt(3.0) / 12
    assert energy.value == pytest.approx(right, rel=0.05)
    assert not energy.passed
    assert forces.value > 100.0  # the forces stay while the atoms turn


def test_rotations_are_rotations_and_repeat() -> None:
    turns = draw_rotations(50, seed=3)
    assert np.allclose(turns @ turns.transpose(0, 2, 1), np.eye(3))
    assert np.allclose(np.linalg.det(turns), 1.0)
    assert np.array_equal(turns, draw_rotations(50, seed=3))
